"""Whether an algorithm's numbers are shares of a sum, tried out before the first step of a run.

A mean instead of a share trains on a loss that is too large by the number of micro-batches, and
nothing in the run's numbers says so. So the algorithm is run on a few documents of its own example:

    forward(whole, normalizer=n), and with 2 n      each number halves
    forward(one half) + forward(the other half)     the loss is that of the whole
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from xtune.engine.memory_check import is_out_of_memory
from xtune.engine.rng import preserved_rng
from xtune.engine.surveying import take_survey
from xtune.errors import ModelError, XtuneError
from xtune.models.algorithms.shares import require_counted, require_shares, weight_of
from xtune.parallel.slices import slice_of
from xtune.structures import Batch

if TYPE_CHECKING:
    from xtune.engine.run import Run

__all__ = ["check_shares"]

_LENGTHS = (8, 8)  # tokens of a half's documents, or pairs
# Rounding in 16 bits is a hundredth, and a mean is wrong by a factor of 2; what is nearly 0 has no
# ratio to judge.
_TOLERATED, _NEARLY_0 = 0.1, 0.01


def check_shares(run: Run) -> None:
    """Run the algorithm on its example, whole and in halves; all processes call it.

    Random generators, buffers and modes are afterwards as they were.

    Args:
        run: whose strategy has taken the model.

    Raises:
        ModelError: what comes out is not as `Algorithm.forward` and `weight` say.
    """
    model = run.model
    name = type(model).__name__
    halves = [model.example(_LENGTHS, trained=sum(_LENGTHS)) for _ in range(2)]
    whole = _joined(*halves)
    count = weight_of(model, whole)
    count_of_halves = sum(weight_of(model, half) for half in halves)
    with torch.no_grad(), preserved_rng(), _as_it_was(model):
        model.eval()
        take_survey(run, [whole])
        once, twice = _sums(run, whole, count), _sums(run, whole, 2 * (count or 1))
        take_survey(run, halves)
        parts = [_sums(run, half, count_of_halves)["loss"] for half in halves]
    require_counted(name, loss=once["loss"], normalizer=count)
    for key, value in once.items():
        if value and math.isclose(twice.get(key, 0.0), value, rel_tol=1e-3):
            raise ModelError(
                f"{name}.forward returns {key!r} = {value:.4g} with normalizer={count:g}, and the "
                f"same with {2 * count:g}: a mean, which added up over k micro-batches is k times "
                "too large. Return the sum over the batch / normalizer"
            )
    loss, split = once["loss"], sum(parts)
    if not math.isfinite(loss) or not math.isfinite(split):
        return  # of an example, which says nothing of the data
    if abs(loss - split) > _TOLERATED * max(abs(loss), abs(split)) + _NEARLY_0:
        raise ModelError(
            f"{name}.forward returns a loss of {loss:.4g} for documents in one micro-batch, and "
            f"{split:.4g} in all for the same in two, so that it depends on how a step is split. "
            "Return the sum over the batch / normalizer, and never a .mean(); `weight` returns "
            f"what a batch adds to normalizer: here {count:g} for the one, {count_of_halves:g} for "
            "the two"
        )


def _sums(run: Run, batch: Batch, normalizer: float) -> dict[str, float]:
    """What the algorithm returns of a batch that all processes have."""
    name = type(run.model).__name__
    try:
        own = slice_of(batch, run.sequence)
        outputs = run.strategy.forward(own, normalizer=normalizer or 1)
    except Exception as error:
        if isinstance(error, XtuneError) or is_out_of_memory(error):
            raise
        raise ModelError(
            f"{name}.forward cannot run what {name}.example returns: {error}. Override `example`: "
            "it makes a batch such as forward takes, with the vectors that it reads"
        ) from error
    require_shares(name, outputs, differentiable=False)
    return run.share_sums.sum({key: value.item() for key, value in outputs.items()}, [])[0]


def _joined(first: Batch, second: Batch) -> Batch:
    """The documents of two batches end to end."""
    both = (first, second)
    return Batch(
        input_ids=torch.cat([one.input_ids for one in both], dim=1),
        position_ids=torch.cat([one.position_ids for one in both], dim=1),
        labels=torch.cat([one.labels for one in both], dim=1),
        cu_seqlens=torch.cat([first.cu_seqlens, second.cu_seqlens[1:] + first.tokens]),
        max_seqlen=max(first.max_seqlen, second.max_seqlen),
        per_token={
            name: torch.cat([one.per_token[name] for one in both], dim=1)
            for name in first.per_token
        },
        per_document={
            name: torch.cat([one.per_document[name] for one in both]) for name in first.per_document
        },
    )


@contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """Put back what a forward pass may change: which modules train, and what buffers count."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for buffer, value in buffers:
            buffer.copy_(value)
