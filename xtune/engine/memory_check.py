"""Too little memory: found before the weights are loaded, and explained when it runs out.

xtune train CONFIG            needs more than there is: the run stops, and says what would fit
xtune train CONFIG --force    it goes on all the same
and then, or later            memory runs out: what was being done, what takes it, what would fit
"""

from __future__ import annotations

import gc
import logging
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from xtune.errors import AdapterError, ModelError, TrainingError
from xtune.parallel.progress import now
from xtune.planning.advice import advice_for, advice_lines
from xtune.planning.requirement import DeviceMemory, MicroBatch, Requirement, place_of
from xtune.planning.requirement_cache import known_need

if TYPE_CHECKING:
    from xtune.engine.run import Run

__all__ = ["MemoryCheck", "is_out_of_memory", "out_of_memory"]

logger = logging.getLogger(__name__)

# What torch says on a CPU, where it has no error of its own, and other libraries too
_WORDS = ("can't allocate memory", "cannot allocate memory", "not enough memory", "bad_alloc")


class MemoryCheck:
    """Compares what a run needs with what its device has.

    Args:
        force: only warn.
    """

    def __init__(self, *, force: bool = False) -> None:
        self.force = force
        self.need: Requirement | None = None
        self.place: DeviceMemory | None = None

    def before_loading(self, run: Run) -> None:
        """Say what the run needs.

        Raises:
            TrainingError: more than there is, and not `force`.
        """
        self.look(run)
        if self.need is None or self.place is None:
            return
        has = "" if self.place.gib is None else f" of {self.place.gib:.1f}"
        logger.info("memory: %s%s", self.need.line, has)
        if self.need.fits(self.place):
            return
        assert self.place.gib is not None
        if self.need.gib <= self.place.gib:
            logger.warning("that is more than 90 % of it: memory may run out")
            return
        text = (
            f"the run needs about {self.need.gib:.1f} GiB and {run.strategy.device} has "
            f"{self.place.gib:.1f}:\n{self.table()}\n"
            f"  {_largest(run).words(run.recipe)}\n{_advice(run, self.place, self.need)}"
        )
        if not self.force:
            raise TrainingError(f"{text}\nTo try it all the same: --force")
        logger.warning("%s", text)

    def look(self, run: Run) -> None:
        """Find out what the run needs, and what there is; nothing where that cannot be known."""
        self.place = place_of(run.strategy.device, run.world.size)
        try:
            self.need = known_need(
                run.cfg,
                run.strategy.precision,
                self.place,
                largest=_largest(run),
                pieces=run.pieces,
            )
        except AdapterError:
            raise
        except ModelError as error:
            logger.warning("what memory the run needs is not known: %s", error)

    def table(self) -> str:
        """The components, a line each."""
        return "" if self.need is None else "\n".join(self.need.lines())


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is what torch, Python or a library raises when memory runs out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError | OSError) and any(word in text for word in _WORDS)


def out_of_memory(run: Run, error: BaseException, check: MemoryCheck | None) -> TrainingError:
    """Say what was being done, what takes the memory, and what would fit; releases the model.

    Args:
        run: that has ended so.
        error: with which.
        check: of the run, if it has one.
    """
    where, first = (
        run.ended_in or str(now()),
        (str(error) or type(error).__name__).splitlines()[0],
    )
    longest = f"; the longest pack has {run.longest:,} tokens" if run.longest else ""
    check = check or MemoryCheck(force=True)
    # What the model took is needed to work out the advice.
    traceback.clear_frames(error.__traceback__)
    run.release_model()
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    text = f"memory has run out in {where}{longest} ({first})"
    try:
        if check.need is None and hasattr(run, "strategy"):
            check.look(run)
        if check.place is not None:
            advice = _advice(run, _less(check), check.need)
            text += f"\nWhat the run takes:\n{check.table()}\n{advice}"
    except (RuntimeError, MemoryError):  # there is too little even for that
        text += f"\n{check.table()}\nWhat would fit: xtune estimate CONFIG"
    return TrainingError(text)


def _less(check: MemoryCheck) -> DeviceMemory:
    """A place for less than was not there, whatever the estimate had said."""
    assert check.place is not None
    if check.need is None:
        return check.place
    limit = 0.9 * check.need.gib
    return replace(
        check.place, gib=min(limit, limit if check.place.gib is None else check.place.gib)
    )


def _advice(run: Run, place: DeviceMemory, need: Requirement | None) -> str:
    logger.info("looking for what would fit %.1f GiB", place.gib or 0.0)  # it takes seconds
    advice = advice_for(
        run.cfg,
        run.strategy.precision,
        place,
        need=need,
        largest=_largest(run),
        pieces=run.pieces,
    )
    return "\n".join(advice_lines(advice, place))


def _largest(run: Run) -> MicroBatch:
    return MicroBatch.of(run.recipe, run.train_dataset)
