"""How near one model's distributions come to another's, at the same places of the same texts.

    top-1     share of places where both have the same likeliest token
    KL        of reference to export: bits of surprise in nats, 0 where they are the same
    NLL       how much less likely the given answers became, a token
    flip      where the likeliest token differs: the gap between the reference's two best

A server gives some likeliest tokens and not all. The rest is then one outcome, which can only make
KL smaller: it is a lower bound, and is said to be one.

Shapes: P places, V vocabulary, K listed tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xtune.export.proof.reference import Scored

__all__ = ["Given", "Scores", "first_difference", "scores_of"]


@dataclass(frozen=True, slots=True)
class Given:
    """What a reader says of one place.

    Attributes:
        ids: [K] the listed tokens, likeliest first; None: all, in their order.
        log_probs: [K] or [V].
    """

    ids: Tensor | None
    log_probs: Tensor

    @property
    def best(self) -> int:
        """The likeliest token."""
        if self.ids is None:
            return int(self.log_probs.argmax())
        return int(self.ids[self.log_probs.argmax()])


@dataclass(frozen=True, slots=True)
class Scores:
    """Of all places together.

    Attributes:
        places: how many.
        top1: percent.
        kl_mean: nats, and so are the other three.
        kl_p99: that 99 of 100 places stay below.
        kl_max: the largest.
        nll_rise: mean, at places where the token is listed.
        flips: the reference's gaps where top-1 differs, the largest first.
        whole: whether distributions were whole.
    """

    places: int
    top1: float
    kl_mean: float
    kl_p99: float
    kl_max: float
    nll_rise: float
    flips: tuple[float, ...]
    whole: bool

    @property
    def flip(self) -> float:
        """The largest gap of the reference where top-1 differs; 0 if it never does."""
        return max(self.flips, default=0.0)


def scores_of(scored: Sequence[Scored], given: Sequence[Sequence[Given]]) -> Scores:
    """Compare.

    Args:
        scored: texts of the reference.
        given: of each, what a reader says of its places.
    """
    kls, rises, flips, same = [], [], [], 0
    for text, said in zip(scored, given, strict=True):
        for at, place, one in zip(range(len(text.places)), text.places, said, strict=True):
            expected = text.log_probs[at].double()
            kls.append(_kl(expected, one))
            if int(expected.argmax()) == one.best:
                same += 1
            else:
                flips.append(gap(expected))
            token = text.ids[place]
            if (found := _of(one, token)) is not None:
                rises.append(float(expected[token]) - found)
    all_kl = torch.tensor(kls, dtype=torch.float64)
    count = len(kls)
    return Scores(
        places=count,
        top1=100.0 * same / count,
        kl_mean=float(all_kl.mean()),
        kl_p99=float(all_kl.quantile(0.99)),
        kl_max=float(all_kl.max()),
        nll_rise=sum(rises) / max(len(rises), 1),
        flips=tuple(sorted(flips, reverse=True)),
        whole=all(one.ids is None for said in given for one in said),
    )


def first_difference(text: Scored, tokens: Sequence[int]) -> tuple[int, float] | None:
    """Return where a greedy answer leaves the reference's own, and the reference's gap there.

    Args:
        text: an answer of the reference's own.
        tokens: the other's, up to its end.
    """
    for at, place in enumerate(text.places):
        if at >= len(tokens) or tokens[at] != text.ids[place]:
            return at, gap(text.log_probs[at].double())
    return None


def gap(log_probs: Tensor) -> float:
    """Return how far the second best is from the best.

    Args:
        log_probs: [V].
    """
    best, second = log_probs.topk(2).values.tolist()
    return float(best - second)


def _kl(expected: Tensor, one: Given) -> float:
    if one.ids is None:
        other = one.log_probs.double()[: len(expected)]
        p = expected.exp()
        return max(float((p * (expected - other)).sum()), 0.0)
    p, q = expected[one.ids].exp(), one.log_probs.double().exp()
    kl = float((p * (expected[one.ids] - one.log_probs.double())).sum())
    rest_p, rest_q = 1 - float(p.sum()), 1 - float(q.sum())
    if rest_p > 1e-9 and rest_q > 1e-9:
        kl += rest_p * (torch.tensor(rest_p).log() - torch.tensor(rest_q).log()).item()
    return max(kl, 0.0)


def _of(one: Given, token: int) -> float | None:
    if one.ids is None:
        return float(one.log_probs[token])
    found = (one.ids == token).nonzero()
    return float(one.log_probs[found[0, 0]]) if len(found) else None
