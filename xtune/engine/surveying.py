"""`take_survey`: what an algorithm must know of a whole step before its first micro-batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xtune.models.algorithms.base import Algorithm, Peers
from xtune.structures import Batch

if TYPE_CHECKING:
    from xtune.engine.run import Run

__all__ = ["surveys", "take_survey"]


def surveys(model: Algorithm) -> bool:
    """Tell whether an algorithm asks for anything before a step."""
    return type(model).survey is not Algorithm.survey


def take_survey(run: Run, batches: Sequence[Batch]) -> None:
    """Let a run's algorithm look at a step, and give it the sums over all processes.

    All processes call it; of an algorithm that asks for nothing, nothing is exchanged.

    Args:
        run: whose strategy has taken the model.
        batches: of this process; the same on the processes that share rows.
    """
    model = run.model
    if not surveys(model):
        return
    counting = [each for each in batches if not each.is_filler and run.sequence.rank == 0]
    peers = Peers(run.world, run.sequence, run.strategy.device, run.strategy.run_apart)
    model.surveyed = run.survey_sums.sum(model.survey(counting, peers), [])[0]
