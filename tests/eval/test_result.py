from __future__ import annotations

from tests.eval.results import row
from xtune.eval.result import EvaluationResult, Share


def test_rates_are_of_the_rows_that_they_are_about():
    result = EvaluationResult(
        rows=[
            row(kind="convert", right=True),
            row(kind="weather", right=False),
            row(kind="convert", right=False),
            row(kind="no_tool", needs_call=False, right=True),
        ]
    )
    assert result.exact_calls == Share(1, 3)
    assert result.no_needless_calls == Share(1, 1)
    assert result.by_kind == {
        "convert": Share(1, 2),
        "weather": Share(0, 1),
        "no_tool": Share(1, 1),
    }
    assert list(result.by_kind) == ["convert", "weather", "no_tool"]
    plain = result.to_dict()
    assert plain["exact_calls"] == {"right": 1, "total": 3, "rate": 1 / 3}
    assert len(plain["rows"]) == 4


def test_a_share_of_nothing_has_no_rate():
    assert Share(0, 0).rate is None
    assert str(Share(0, 0)) == "none"
    assert str(Share(43, 48)) == "43 of 48 (90 %)"
    assert EvaluationResult().to_dict()["exact_calls"]["rate"] is None
