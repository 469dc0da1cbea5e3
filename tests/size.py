"""How much the suite starts, counted and bounded: a process takes seconds, and so does a training.

    processes    Python programs that tests start, and forks of `tests.forked`
    trainings    folders that a run in a test's own process has written metrics to

`make test` fails above a limit. Then let tests share what they look at: a run by `tests.once`, a
process by `tests.forked`, a start by several questions; or give what takes long the mark `slow`,
if a cheaper test shows the same. Where neither does, raise the limit and say why in the commit.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

__all__ = ["FORKED", "LIMITS", "Size", "over"]

LIMITS = {"processes": 330, "trainings": 480}
FORKED = "tests.forked"  # the audit event of a fork


class Size:
    """Counts in this process from when it is made; a plugin of pytest, in workers too.

    Attributes:
        counts: kind -> how many, those of the workers too once they have ended.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._folders: set[str] = set()
        sys.addaudithook(self._hear)

    def _hear(self, event: str, given: tuple[Any, ...]) -> None:
        if event == "open":
            path = given[0]
            if isinstance(path, str) and path.endswith("metrics.jsonl") and _writes(given[1]):
                self._note(path)
        elif event == "subprocess.Popen":
            program = Path(os.fsdecode(given[0] or given[1][0])).name
            self.counts["processes"] += program.startswith("python")
        elif event == FORKED:
            self.counts["processes"] += 1

    def _note(self, path: str) -> None:
        if path not in self._folders:
            self._folders.add(path)
            self.counts["trainings"] += 1

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of xdist has ended."""
        self.counts.update(getattr(node, "workeroutput", {}).get("size", {}))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hand the numbers on, or be the one that judges them."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["size"] = dict(self.counts)
        elif over(self.counts) and _is_judged(session.config) and not session.exitstatus:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say how many, and what to do about too many."""
        for kind, most in LIMITS.items():
            terminalreporter.write_line(f"{kind}: {self.counts[kind]} of at most {most}")
        for line in over(self.counts) if _is_judged(terminalreporter.config) else ():
            terminalreporter.write_line(line, red=True)


def over(counts: Counter[str]) -> list[str]:
    """Return a line for each kind of which there are too many."""
    return [
        f"the suite starts {counts[kind]} {kind}, and {most} are allowed: see tests/size.py"
        for kind, most in LIMITS.items()
        if counts[kind] > most
    ]


def _is_judged(config: pytest.Config) -> bool:
    """What is slow may be long."""
    return config.getoption("markexpr") == "not slow"


def _writes(mode: Any) -> bool:
    return isinstance(mode, str) and any(letter in mode for letter in "wax+")
