"""Hidden states to log-probabilities, at the scored positions only and a chunk at a time.

Shapes: T tokens of a row, N scored positions of it, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xtune.eval.scoring.layout import Row
from xtune.eval.tasks.base import Likelihood
from xtune.models.head import Head

__all__ = ["chunk_size", "chunks_of", "score_row"]

_MOST = 256  # positions of a chunk
_LOGITS = 2**24  # of a chunk, at most: 64 MB in fp32


def chunk_size(vocabulary: int) -> int:
    """Return how many positions' logits are held at once.

    Args:
        vocabulary: V.
    """
    return max(1, min(_MOST, _LOGITS // vocabulary))


def chunks_of(row: Row, vocabulary: int) -> int:
    """Return how often the head is called for a row.

    Args:
        row: laid out.
        vocabulary: V.
    """
    places = {place for asked in row.asked for place in asked.places}
    return -(-len(places) // chunk_size(vocabulary))


def score_row(
    head: Head, hidden: Tensor, row: Row, *, vocabulary: int, calls: int | None = None
) -> list[Likelihood]:
    """Return how likely what is asked of a row is, in the order of `row.asked`.

    A position that several requests ask is computed once. Log-sum-exp is in fp32, sums over a
    continuation in float64.

    Args:
        head: of the model.
        hidden: [T, D].
        row: laid out.
        vocabulary: V, for the size of chunks.
        calls: of the head, at least: processes that share a model make as many each.
    """
    pairs = sorted({pair for a in row.asked for pair in zip(a.places, a.targets, strict=True)})
    places = sorted({place for place, _ in pairs})
    size = chunk_size(vocabulary)
    found: dict[tuple[int, int], tuple[float, bool]] = {}
    made = 0
    for start in range(0, len(places), size):
        chunk = places[start : start + size]
        within = [pair for pair in pairs if chunk[0] <= pair[0] <= chunk[-1]]
        found |= zip(within, _score(head, hidden, chunk, within), strict=True)
        made += 1
    for _ in range(made, calls or 0):
        head.logits(hidden[:1])
    return [
        _sum([found[pair] for pair in zip(a.places, a.targets, strict=True)]) for a in row.asked
    ]


def _score(
    head: Head, hidden: Tensor, places: Sequence[int], pairs: Sequence[tuple[int, int]]
) -> list[tuple[float, bool]]:
    """The log-probability of (place, token) pairs, and whether the token is the likeliest."""
    device = hidden.device
    logits = head.logits(hidden[torch.tensor(places, device=device)]).float()  # [N, V]
    index = {place: n for n, place in enumerate(places)}
    rows = torch.tensor([index[place] for place, _ in pairs], device=device)
    targets = torch.tensor([target for _, target in pairs], device=device)
    norms, best = logits.logsumexp(dim=1), logits.argmax(dim=1)
    log_probs = logits[rows, targets] - norms[rows]
    greedy = best[rows] == targets
    return list(zip(log_probs.tolist(), greedy.tolist(), strict=True))


def _sum(tokens: Sequence[tuple[float, bool]]) -> Likelihood:
    return Likelihood(
        log_prob=sum(log_prob for log_prob, _ in tokens),
        greedy=all(greedy for _, greedy in tokens),
        tokens=len(tokens),
    )
