from __future__ import annotations

import pytest

from xtune.errors import UsageError
from xtune.generation.settings import GenerationSettings


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_new_tokens": 0},
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"top_k": -1},
        {"repetition_penalty": 0.0},
        {"seed": -1},
    ],
)
def test_a_value_out_of_range_is_named_with_what_is_allowed(wrong):
    (name,) = wrong
    with pytest.raises(UsageError, match=f"{name} is .*allowed: "):
        GenerationSettings(**wrong)


def test_the_defaults_are_greedy():
    assert GenerationSettings().temperature == 0
