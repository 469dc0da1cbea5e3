"""Python programs in processes forked from one that has imported everything: a tenth of a second.

Started anew each takes six seconds of a processor, to import torch, transformers and peft. What is
about starting (a launcher, its exit code and last word, what a verb imports) starts anew all the
same.

process = Forked("xtune.cli.process", ["train", ...], log)        # python -m xtune.cli.process ...
said = run_ranks("xtune.cli.process", ["train", ...], folder, 2)  # the same, two ranks of a run
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing import connection, forkserver
from pathlib import Path

import pytest

from tests.size import FORKED

__all__ = ["Forked", "run_ranks"]

_FORKS = multiprocessing.get_context("forkserver")
# Modules that a run imports; transformers imports deepspeed when it saves a model.
_IMPORTED = ["xtune.cli.entry", "xtune.engine.runner", "xtune.cli.train", "deepspeed"]
# OpenMP's threads do not outlive a fork, so there must be none before it.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


class Forked:
    """`python -m MODULE WORDS`; what it says on both streams is in the file `log`.

    Has what tests use of `subprocess.Popen`.
    """

    def __init__(self, module: str, words: Sequence[str], log: Path, **environment: str) -> None:
        with pytest.MonkeyPatch.context() as patch:  # of the process that forks, if it starts here
            for name, value in _ENVIRONMENT.items():
                patch.setenv(name, value)
            _FORKS.set_forkserver_preload(_IMPORTED)
            forkserver.ensure_running()
        self._log = log
        sys.audit(FORKED, module)  # for tests.size, which counts
        whole = {**os.environ, **_ENVIRONMENT, **environment}
        arguments = (module, list(map(str, words)), log, whole, os.getcwd())
        self._process = _FORKS.Process(target=_run, args=arguments, daemon=True)
        self._process.start()
        self.pid: int = self._process.pid or 0
        self.sentinel: int = self._process.sentinel

    @property
    def returncode(self) -> int | None:
        """As `subprocess` has it: -N after signal N."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return self._log.read_text(encoding="utf-8", errors="replace"), None

    def kill(self) -> None:
        self._process.kill()

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


def run_ranks(module: str, words: Sequence[str], folder: Path, processes: int) -> str:
    """Run `python -m MODULE WORDS` in so many processes of one run; return what they said.

    Args:
        module: as `python -m` takes it.
        words: what follows.
        folder: for a log of each.
        processes: how many.

    Raises:
        AssertionError: one has failed; the others were ended.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    folder.mkdir(parents=True, exist_ok=True)
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(processes)}
    world["LOCAL_WORLD_SIZE"] = str(processes)
    ranks = [
        Forked(
            module,
            words,
            folder / f"said.rank{rank}.txt",
            **world,
            RANK=str(rank),
            LOCAL_RANK=str(rank),
        )
        for rank in range(processes)
    ]
    running = {rank.sentinel: rank for rank in ranks}
    while running and not any(rank.poll() for rank in ranks):
        ended = connection.wait(list(running), timeout=600)
        for sentinel in ended:
            running.pop(sentinel).communicate()
        if not ended:
            break
    codes = [rank.poll() for rank in ranks]
    for rank in running.values():
        rank.kill()
    said = "".join(rank.communicate()[0] for rank in ranks)
    assert codes == [0] * processes, said
    return said


def _run(module: str, words: list[str], log: Path, environment: dict[str, str], cwd: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for number in (1, 2):
        os.dup2(file, number)
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
