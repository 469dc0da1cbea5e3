"""Hooks with which one process of a run goes no further, each in another way."""

import ctypes
import json
import os
import signal
import time

import torch

from xtune.engine.hooks.base import Hook
from xtune.parallel.world import world_of_environment


def hang(how: str, *, rank: int = 1, step: int = 3, seconds: float = 600) -> str:
    """The option of a run whose `rank` goes no further in a step."""
    hook = {"type": "tests/integration/hang.py:HangAt", "step": step, "how": how}
    return f"default_hooks.tensorboard={ {**hook, 'rank': rank, 'seconds': seconds} }"


def end_of(process, seconds: float = 180) -> list[str]:
    """The last lines of a run, and nothing of torchrun's."""
    return process.communicate(timeout=seconds)[0].rstrip().splitlines()[-3:]


class HangAt(Hook):
    """At a step one rank sleeps, stops, sleeps with Python's lock held, is slow, or fails."""

    on_every_process = True

    def __init__(self, *, step: int, rank: int = 1, how: str = "sleep", seconds: float = 600):
        self.step, self.rank, self.how, self.seconds = step, rank, how, seconds

    def before_train_iter(self, runner, batches):
        if runner.step + 1 != self.step or world_of_environment().rank != self.rank:
            return
        if self.how == "sleep":
            time.sleep(self.seconds)
        elif self.how == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif self.how == "lock":
            ctypes.PyDLL(None).sleep(int(self.seconds))
        elif self.how == "work":  # slow, but alive
            until = time.monotonic() + self.seconds
            while time.monotonic() < until:
                # As a generation does: many small operations, in functions of many modules
                numbers = torch.nn.functional.silu(torch.randn(64, 64) @ torch.randn(64, 64))
                json.loads(json.dumps(numbers[0].tolist()))
        elif self.how == "spoil":
            for parameter in runner.strategy.trainable.values():
                parameter.data.fill_(float("nan"))
        elif self.how == "fail":
            raise RuntimeError("the test's crash of one rank")
