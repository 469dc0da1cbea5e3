"""What a tiny checkpoint must have, so that its reference shows a mistake."""

from __future__ import annotations

from tests.models.families.cases.llama import LLAMA3_1, stretched
from tests.models.families.reference import rope_frequencies


def test_llama3_scaling_meets_all_its_bands():
    plain = rope_frequencies(16, LLAMA3_1["rope_theta"])
    share = stretched(plain, LLAMA3_1["rope_scaling"]) / plain
    assert share[0] == 1
    assert ((share > 1 / 8) & (share < 1)).any()
    assert share[-1] == 1 / 8
