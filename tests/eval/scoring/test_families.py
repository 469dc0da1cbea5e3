"""Each family of the catalogue, against its reference in float64, which reads the published files.

The reference is of the families' own proofs; what a family allows is found by the scorer.
"""

from __future__ import annotations

import pytest
import torch

from tests.eval.scoring.plain import some_requests
from tests.models.families.case import all_cases
from tests.models.families.published import read_checkpoint
from xtune.eval.scoring import Scorer
from xtune.models import load_model

CASES = {case.name: case for case in all_cases()}
# Their own attention, in transformers, knows places in the row and no others, or has sinks
BY_CACHE = {"bloom", "falcon-7b", "falcon-40b", "gpt-oss", "gpt-oss-bf16"}


@pytest.mark.parametrize("name", CASES)
def test_a_family_is_scored_as_its_reference_says(name, tmp_path):
    case = CASES[name]
    folder = case.write(tmp_path / "published")
    # the longest texts are beyond windows, and beyond where dynamic scaling begins
    requests = some_requests(case.vocab, longest=case.longest)[::2]
    weights = read_checkpoint(folder)
    scorer = Scorer(load_model(str(folder), dtype="fp32"))
    found = scorer.score(requests)
    assert scorer.allowed.way == ("cache" if name in BY_CACHE else "tree")
    for request, likelihood in zip(requests, found, strict=True):
        ids = torch.tensor(request.context + request.continuation)
        log_probs = case.reference(*weights, ids[:-1]).log_softmax(dim=1)
        rows = log_probs[len(request.context) - 1 :]
        expected = rows.gather(1, ids[len(request.context) :, None]).sum()
        size = float(rows.abs().max())
        assert likelihood.log_prob == pytest.approx(float(expected), abs=case.tolerance * size)
