"""Programs that a model wrote, run against their tests in the sandbox of the Python tool.

A program passes if its own text and then the test's have run to their ends without an exception,
within the time. That it did is told by a secret that is written behind them: printing 'passed',
`sys.exit(0)`, `os._exit(0)` or a flood of output does not write it. Each program has a fresh
process without network, other processes, files or much memory; what it breaks is its own.

(Code that looks for the secret in its own process can find it. No model that was trained on
programs writes that by accident, and nothing but the number would be wrong.)
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from xtune.errors import UsageError
from xtune.tools.base import ToolError
from xtune.tools.sandbox.sandbox import Sandbox

__all__ = ["Program", "Verdict", "require_permission", "run_programs"]

_VERDICT = "verdict"
_LONGEST_SAID = 300  # characters
# The two texts are apart, so that an open quote in the first cannot swallow the second; functions
# are taken before a program can replace them
_JUDGE = """
def _judge(texts, secret):
    import os, sys, types
    opened, write, path = os.open, os.write, os.path.join(os.environ["HOME"], {name!r})
    how, program = os.O_WRONLY | os.O_CREAT | os.O_TRUNC, types.ModuleType("program")
    run, read = exec, compile
    sys.modules["program"] = program
    for text in texts:
        run(read(text, "<code>", "exec"), program.__dict__)
    write(opened(path, how, 0o600), secret)
_judge({texts!r}, {secret!r})
"""


@dataclass(frozen=True, slots=True)
class Program:
    """What is run.

    Attributes:
        text: of the program.
        test: raises unless the program is right.
    """

    text: str
    test: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a program passed, and the last that it said: mostly the exception that ended it."""

    passed: bool
    said: str


def run_programs(
    programs: Sequence[Program], *, seconds: float = 3.0, memory_mb: int = 1024
) -> list[Verdict]:
    """Run programs against their tests, as many at once as there are processors.

    Args:
        programs: any number.
        seconds: for each, once its interpreter has started.
        memory_mb: of address space, for each.

    Returns:
        A verdict for each, in their order.

    Raises:
        UsageError: no sandbox can be made on this system.
    """
    workers = min(len(programs), len(os.sched_getaffinity(0))) if programs else 1
    if workers == 1:
        return [_run(each, seconds, memory_mb) for each in programs]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda each: _run(each, seconds, memory_mb), programs))


def require_permission(task: str, run_code: bool) -> None:
    """Refuse a task that runs programs unless its user has said so.

    Args:
        task: its name.
        run_code: what the user said.

    Raises:
        UsageError: it is not allowed; says how to.
    """
    if not run_code:
        raise UsageError(
            f"{task} runs the programs that the model writes, in a sandbox without network and "
            "files: allow that with --run-code (in a config: run_code=True)"
        )


def _run(program: Program, seconds: float, memory_mb: int) -> Verdict:
    secret = secrets.token_bytes(16)
    code = _JUDGE.format(name=_VERDICT, texts=(program.text, program.test), secret=secret)
    try:
        sandbox = Sandbox(memory_mb=memory_mb, disk_mb=16)
    except ToolError as error:
        raise UsageError(f"programs cannot be run here: {error}") from error
    try:
        output = sandbox.run(code, seconds)
    except ToolError as error:  # it could not start once more
        return Verdict(False, str(error)[-_LONGEST_SAID:])
    finally:
        sandbox.end()
    passed = output.ok and output.files.get(_VERDICT) == secret
    said = output.content.replace(f"[file: {_VERDICT}]", "").strip()
    return Verdict(passed, "" if passed else said[-_LONGEST_SAID:] or "it ended by itself, early")
