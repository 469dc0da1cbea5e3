"""Which documents of a batch make a pair."""

from __future__ import annotations

import pytest
import torch

from tests.models.packs import pack, random_documents
from xtune.models.algorithms.pairs import pairs_of


def batch_of(side, rank=None):
    batch = pack(random_documents([3] * len(side)))
    batch.per_document["side"] = torch.tensor(side)
    if rank is not None:
        batch.per_document["rank"] = torch.tensor(rank)
    return batch


@pytest.mark.parametrize(
    ("side", "rank", "better", "worse", "share"),
    [
        ([0, 1, 0, 1], None, [0, 2], [1, 3], [1, 1]),
        ([0, 1, 2, 0, 1], None, [0, 0, 1, 3], [1, 2, 2, 4], [1 / 3, 1 / 3, 1 / 3, 1]),
        ([0, 1, 0, 1, 2], [-1, -1, 0, 1, 1], [0, 2, 2], [1, 3, 4], [1, 0.5, 0.5]),
        ([0, 1, 2, 3], [0, 0, 1, 1], [0, 0, 1, 1], [2, 3, 2, 3], [0.25] * 4),
    ],
)
def test_all_pairs_of_each_prompt_and_none_between_prompts(side, rank, better, worse, share):
    pairs = pairs_of(batch_of(side, rank))
    assert pairs.better.tolist() == better
    assert pairs.worse.tolist() == worse
    assert pairs.share.tolist() == pytest.approx(share)
