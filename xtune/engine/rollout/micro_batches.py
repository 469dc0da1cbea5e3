"""Which answers of a rollout make which micro-batch, on which process.

The answers to a prompt stand next to each other, so that the prompt is computed once for all of
them; see `Backbone.hidden_states`. A pure function of the rollout and the number of the pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xtune.data.collate import collate, filler
from xtune.engine.rollout.rollout import Rollout
from xtune.parallel.world import World
from xtune.structures import Batch

__all__ = ["batches_of", "dealt", "mini_batches"]


def mini_batches(
    rollout: Rollout, *, parts: int, room: int, order: Sequence[int]
) -> list[list[list[int]]]:
    """Return the answers of each micro-batch of each mini-batch: an optimizer step is one of these.

    Args:
        rollout: whose answers they are.
        parts: mini-batches; as many prompts in each, as far as that goes.
        room: tokens of a micro-batch, prompts counted with each answer; an answer that is longer
            has one of its own.
        order: of the prompts.
    """
    members: dict[int, list[int]] = {}
    for at, group in enumerate(rollout.group.tolist()):
        members.setdefault(group, []).append(at)
    made = []
    for numbers in np.array_split(np.array(order, dtype=np.int64), parts):
        micro: list[list[int]] = []
        held = room + 1
        for group in numbers.tolist():
            for at in members[group]:
                size = len(rollout.prompts[group]) + len(rollout.answers[at])
                if held + size > room:
                    micro.append([])
                    held = 0
                micro[-1].append(at)
                held += size
        made.append(micro)
    return made


def dealt(micro_batches: Sequence[Sequence[int]], world: World) -> list[Sequence[int]]:
    """Return this process's of all micro-batches; every process has as many: [] stands for none.

    Args:
        micro_batches: of a step, of all processes.
        world: who shares them.
    """
    rounds = -(-len(micro_batches) // world.size)
    mine = list(micro_batches[world.rank :: world.size])
    return [*mine, *([[]] * (rounds - len(mine)))]


def batches_of(
    rollout: Rollout, micro_batches: Sequence[Sequence[int]], first: Sequence[int]
) -> list[Batch]:
    """Return the documents of micro-batches end to end; a filler for one without answers.

    Args:
        rollout: whose answers they are.
        micro_batches: of this process.
        first: any micro-batch that has answers, for the filler.
    """
    return [
        _batch(rollout, one) if one else filler(_batch(rollout, first)) for one in micro_batches
    ]


def _batch(rollout: Rollout, answers: Sequence[int]) -> Batch:
    samples = []
    side, before = 0, None
    for at in answers:
        group = int(rollout.group[at])
        side = side + 1 if group == before else 0
        before = group
        samples.append(rollout.sample(at, side))
    return collate(samples, tuple(answers))
