"""One worker process, seen from the program that uses its tools: started, asked, ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import psutil

from xtune.tools.base import ToolError

__all__ = ["Late", "Worker"]

_LONGEST_ANSWER = 4_000_000  # bytes


class Late(ToolError):
    """A worker did not answer in time, and was ended."""


class Worker:
    """A process that answers requests one after the other.

    It is a process group of its own, so that Ctrl-C at the terminal reaches only us, and so that
    what a tool starts ends with it.
    """

    def __init__(self) -> None:
        alive, self._held = os.pipe()
        self._buffer = b""
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "xtune.tools.worker", str(alive)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=[alive],
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": _python_path()},
            )
        finally:
            os.close(alive)

    def ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Return the answer to a request; end the process if there is none, whatever the reason.

        Args:
            request: what can be JSON.
            seconds: to wait for the answer.

        Raises:
            Late: there is none after so long.
            ToolError: the process ended, or its answer cannot be read.
        """
        deadline = time.monotonic() + seconds
        try:
            self._send(json.dumps(request).encode() + b"\n", deadline)
            return json.loads(self._line(deadline))
        except Late:
            self.end()
            raise
        except (OSError, ValueError) as error:
            self.end()
            raise ToolError(f"the tool's process cannot be asked: {error}") from error
        except BaseException:  # Ctrl-C among them: nothing goes on running behind the prompt
            self.end()
            raise

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """End the process, and all that it started; whoever waits for its answer sees its end."""
        started = []
        with contextlib.suppress(psutil.Error):
            started = psutil.Process(self._process.pid).children(recursive=True)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for child in started:  # also those in sessions of their own, such as MCP servers
            with contextlib.suppress(psutil.Error):
                child.kill()

    def end(self) -> None:
        """End the process and close what leads to it; only for the thread that asks it."""
        self.kill()
        self._process.wait()
        if self._held >= 0:
            os.close(self._held)
            self._held = -1
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _send(self, line: bytes, deadline: float) -> None:
        assert self._process.stdin is not None
        fd = self._process.stdin.fileno()
        os.set_blocking(fd, False)
        while line:
            _, ready, _ = select.select([], [fd], [], _left(deadline))
            if ready:
                with contextlib.suppress(BlockingIOError, BrokenPipeError):
                    line = line[os.write(fd, line) :]
                if self.ended:
                    raise ToolError(self._last_words())

    def _line(self, deadline: float) -> bytes:
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        while b"\n" not in self._buffer:
            if not select.select([fd], [], [], _left(deadline))[0]:
                continue
            piece = os.read(fd, 65536)
            if not piece or len(self._buffer) > _LONGEST_ANSWER:
                raise ToolError(self._last_words())
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _last_words(self) -> str:
        said = b""
        if self._process.stderr is not None and not self._process.stderr.closed:
            fd = self._process.stderr.fileno()
            while select.select([fd], [], [], 0)[0] and len(said) < 100_000:
                piece = os.read(fd, 65536)
                if not piece:
                    break
                said += piece
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        code = self._process.returncode
        how = "stopped answering" if code is None else f"ended with exit code {code}"
        if code is not None and code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        last = said.decode(errors="replace").strip().splitlines()[-1:]
        return f"the tool's process {how}{': ' + last[0] if last else ''}"


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise Late("too late")
    return left


def _python_path() -> str:
    # So that the worker finds this xtune, and what the user's script finds, from any folder
    return os.pathsep.join(os.path.abspath(path) for path in sys.path if path)
