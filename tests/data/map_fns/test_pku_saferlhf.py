import pytest

from xtune.data.map_fns.pku_saferlhf import pku_saferlhf_map_fn
from xtune.errors import DataError

ROW = {
    "prompt": "How?",
    "response_0": "So.",
    "response_1": "No.",
    "is_response_0_safe": False,
    "is_response_1_safe": True,
    "better_response_id": 0,
    "safer_response_id": 1,
}


def test_the_better_and_the_safer_answer_may_be_two():
    better, safer = pku_saferlhf_map_fn(ROW), pku_saferlhf_map_fn(ROW, by="safer")
    assert better["chosen"] == safer["rejected"] == [{"role": "assistant", "content": "So."}]
    assert better["safe"] == [False, True]
    assert safer["safe"] == [True, False]  # the chosen answer's sign first
    assert "source" not in better


def test_the_models_are_the_source_where_they_are_named():
    newer = {
        "response_0_source": "Alpaca3-8B",
        "response_1_source": "Alpaca-7B",
        "response_0_severity_level": 2,
        "response_0_harm_category": {"Violence": True},
    }
    assert pku_saferlhf_map_fn({**ROW, **newer})["source"] == "Alpaca-7B and Alpaca3-8B"


def test_verdicts_of_another_form_are_told():
    with pytest.raises(DataError, match="'safer_response_id' must be 0 or 1, not 2"):
        pku_saferlhf_map_fn({**ROW, "safer_response_id": 2})
    with pytest.raises(DataError, match="by='worse' is unknown; allowed: 'better', 'safer'"):
        pku_saferlhf_map_fn(ROW, by="worse")
