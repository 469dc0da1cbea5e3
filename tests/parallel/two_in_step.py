"""python -m tests.parallel.two_in_step OUT: what two processes learn of each other's failures."""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed

from xtune.errors import DataError
from xtune.parallel.in_step import agree, all_or_none, same_on_all, tell_failure
from xtune.parallel.world import World


def passes(rank, failing=()):
    """Three passes together; a process may fail before its second one."""
    heard = []
    for number in range(3):
        if number == 1 and rank in failing:
            raise DataError(f"rank {rank} cannot")
        heard.append(agree(10 * number + rank))
        distributed.all_reduce(torch.zeros(1))
    return heard


def outcome(function):
    try:
        return function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def fails_amid_a_pass(rank):
    agree()
    if rank == 1:
        tell_failure(MemoryError("no room"), patience=timedelta(seconds=0.5))
    distributed.all_gather([torch.zeros(1), torch.zeros(1)], torch.zeros(1))


def main(out: str) -> None:
    distributed.init_process_group("gloo")
    rank = int(os.environ["RANK"])
    world = World(rank, 2)
    said = [
        outcome(lambda failing=failing: all_or_none(lambda: passes(rank, failing)))
        for failing in ((), (1,), (0, 1), ())
    ]
    said += [outcome(lambda: same_on_all(world, lambda: passes(rank)))]
    said += [outcome(lambda: same_on_all(world, lambda: [rank, 1 / (1 - rank)]))]
    said += [outcome(lambda: fails_amid_a_pass(rank))]
    Path(out, f"{rank}.json").write_text(json.dumps(said), encoding="utf-8")
    os._exit(0)  # the one that waits in the pass is freed by the other's end


if __name__ == "__main__":
    main(*sys.argv[1:])
