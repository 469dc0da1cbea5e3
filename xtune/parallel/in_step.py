"""Processes that share a model make the same passes; what one of them cannot do, all learn.

Before each pass every process says one word, and hears the largest: a number, or that it has
failed. So an error on one process ends what they do together on all of them, and they go on with
what comes next. An error in the middle of a pass is heard too where all have it, as when memory
runs out everywhere. Where the others wait in that pass nothing can be agreed on: `NotHeard`, with
which a run ends on all processes, instead of hanging.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from xtune.errors import TrainingError, XtuneError
from xtune.parallel.world import World

__all__ = ["NotHeard", "OtherFailed", "agree", "all_or_none", "same_on_all", "tell_failure"]

_FAILED = 2**62  # no number that anybody agrees on
_PATIENCE = timedelta(seconds=120)  # others are between two passes, or wait in one for ever

T = TypeVar("T")


class OtherFailed(XtuneError):
    """Another process has failed, and the passes that all make together are over."""


class NotHeard(TrainingError):
    """This process has failed in the middle of a pass, in which the others wait for it."""


def agree(number: int = 0) -> int:
    """Return the largest of the numbers that the processes give; all of them call this.

    Args:
        number: of this process, from 0 on.

    Raises:
        OtherFailed: one of them has failed.
    """
    import torch
    from torch import distributed

    largest = torch.tensor(number)
    distributed.all_reduce(largest, distributed.ReduceOp.MAX)
    if int(largest) == _FAILED:
        raise OtherFailed("another process has failed: its own message says why")
    return int(largest)


def tell_failure(error: Exception, *, patience: timedelta = _PATIENCE) -> None:
    """Let the others know that this process has failed: their next word is heard with it.

    Args:
        error: why.
        patience: how long the others may take to their next word.

    Raises:
        NotHeard: they do not come to it.
    """
    import torch
    from torch import distributed

    work = distributed.all_reduce(torch.tensor(_FAILED), distributed.ReduceOp.MAX, async_op=True)
    try:
        work.wait(patience)
    except RuntimeError:
        raise NotHeard(
            f"rank {distributed.get_rank()} failed in the middle of a pass that all processes "
            f"make together ({type(error).__name__}: {error}); they wait in it, so that the run "
            "cannot go on. Continue it with --resume"
        ) from error


def all_or_none(function: Callable[[], T]) -> T:
    """Call a function that makes passes together with the other processes, which do so as well.

    Args:
        function: agrees before each pass.

    Raises:
        OtherFailed: another process has failed, with an error of its own.
        NotHeard: this one has, and cannot tell the others.
    """
    try:
        result = function()
        agree()
    except OtherFailed:
        raise
    except Exception as error:
        tell_failure(error)
        raise
    return result


def same_on_all(world: World, function: Callable[[], T]) -> T:
    """Call what all processes call, and needs no other one: what fails on one is raised on all.

    Args:
        world: the processes.
        function: reads files, or makes prompts.

    Raises:
        XtuneError: another process has failed; says which, and why.
    """
    result: T
    error: Exception | None = None
    try:
        result = function()
    except Exception as caught:
        error = caught
    failed = world.gather(None if error is None else f"{type(error).__name__}: {error}")
    if error is not None:
        raise error
    for rank, why in enumerate(failed):
        if why is not None:
            raise XtuneError(f"process {rank} has failed: {why}")
    return result
