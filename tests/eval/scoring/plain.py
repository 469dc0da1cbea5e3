"""The plain way, in float64: one text at a time through transformers' own model, no code of ours.

Also the requests that the tests ask: shared beginnings, letters, one context the other's beginning.
"""

from __future__ import annotations

import random
from typing import Any

import torch

from xtune.eval.requests import LikelihoodRequest

__all__ = ["some_requests", "the_plain_way"]


def the_plain_way(model: Any, requests: list[LikelihoodRequest]) -> list[tuple[float, bool]]:
    """Sums of log-probabilities, and whether each token was the likeliest.

    Args:
        model: transformers' own, in float64 and in eval mode.
        requests: as the scorer gets them.
    """
    answers = []
    for request in requests:
        ids = list(request.context) + list(request.continuation)
        with torch.no_grad():
            logits = model(torch.tensor([ids]), use_cache=False).logits[0].double()
        total, greedy = 0.0, True
        for place in range(len(request.context), len(ids)):
            row = logits[place - 1]
            total += float(
                row[ids[place]] - torch.log(torch.exp(row - row.max()).sum()) - row.max()
            )
            greedy = greedy and int(row.argmax()) == ids[place]
        answers.append((total, greedy))
    return answers


def some_requests(vocabulary: int, *, longest: int = 60, seed: int = 0) -> list[LikelihoodRequest]:
    """Questions behind shots: four letters each, options of several tokens, a text of its own.

    Args:
        vocabulary: ids are below it.
        longest: tokens of a context, about.
        seed: of the ids.
    """
    draw = random.Random(seed)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(draw.randrange(3, vocabulary) for _ in range(count))

    requests = []
    for _ in range(2):
        shots = ids(longest * 2 // 3)
        for _ in range(3):
            question = shots + ids(draw.randrange(2, longest // 3))
            letters = draw.sample(range(3, vocabulary), 4)
            requests += [LikelihoodRequest(question, (letter,)) for letter in letters]
            requests += [LikelihoodRequest(question, ids(draw.randrange(1, 6))) for _ in range(2)]
        requests.append(LikelihoodRequest(shots, ids(3)))
    requests.append(LikelihoodRequest(ids(1), ids(9)))
    # the beginning of another's context
    requests.append(LikelihoodRequest(requests[0].context[:5], requests[0].context[5:8]))
    draw.shuffle(requests)
    return requests
