"""How likely the answers of a rollout are, under the policy as it sampled and its reference.

They are computed as training computes them, in the very micro-batches of the first pass over the
rollout: there the ratio of the two is exactly 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xtune.engine.rollout.micro_batches import batches_of, dealt
from xtune.engine.rollout.rollout import Rollout
from xtune.parallel.progress import beat
from xtune.structures import IGNORE_INDEX, Batch

if TYPE_CHECKING:
    from xtune.engine.run import Run

__all__ = ["token_values"]


def token_values(
    run: Run,
    rollout: Rollout,
    steps: Sequence[Sequence[Sequence[int]]],
    compute: Callable[[Batch], Tensor],
) -> Tensor:
    """Return a number for each token of all answers, fp32 [T]; all processes call this.

    Args:
        run: whose model computes them.
        rollout: the answers.
        steps: micro-batches of each mini-batch, see `mini_batches`; they have every answer once.
        compute: of a batch on the device, fp32 [T'], a number for each position that has a label.
    """
    model = run.model
    was_training = model.training
    mine: dict[int, Tensor] = {}
    model.train()  # no dropout acts, and layers are computed as in the update
    try:
        for step in steps:
            own = dealt(step, run.world)
            for answers, batch in zip(own, batches_of(rollout, own, step[0]), strict=True):
                beat()
                work = partial(compute, batch.to(run.strategy.device))
                values = run.strategy.run_apart(work).float().cpu()
                if answers:
                    mine |= _by_answer(values, batch, rollout)
    finally:
        model.train(was_training)
    everyone: dict[int, Tensor] = {}
    for one in run.world.gather(mine):
        everyone |= one
    return torch.cat([everyone[at] for at in range(len(rollout.answers))])


def _by_answer(values: Tensor, batch: Batch, rollout: Rollout) -> dict[int, Tensor]:
    """The values at the labels of each document; 0 for the tokens of an answer without labels."""
    found = {}
    bounds = batch.cu_seqlens.tolist()
    for at, start, end in zip(batch.samples, bounds, bounds[1:], strict=False):
        labels = batch.labels[0, start:end] != IGNORE_INDEX
        asked = values[start:end][labels]
        found[at] = asked if len(asked) else values.new_zeros(len(rollout.answers[at]))
    return found
