"""A confined interpreter seen from outside: started, given code, ended when its time is up.

Nothing that it sends is trusted: it is read up to a bound, and its files' names are only names.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import xtune
from xtune.errors import UsageError
from xtune.tools.base import Output, ToolError

__all__ = ["MEANS", "Sandbox"]

MEANS = ("namespaces", "landlock")  # the better one first
_TO_START = 60.0  # seconds
_MOST_REPORT = 8_000_000  # bytes: of files, in base64
_MOST_OUTPUT = 1 << 20  # bytes
_CPU_SECONDS = 600  # of a conversation


class Sandbox:
    """A Python interpreter that has no network, no files of yours, and limits.

    Args:
        memory_mb: of address space.
        disk_mb: of files in its working folder.
        means: of `MEANS`; default: the first that works here.
        prelude: code of ours to run before the first that is given; its time is not counted.

    Raises:
        ToolError: none works here; says why.
        UsageError: there is no such means.
    """

    def __init__(
        self,
        *,
        memory_mb: int = 1024,
        disk_mb: int = 64,
        means: str | None = None,
        prelude: str = "",
    ) -> None:
        self._prelude = prelude
        self._prepared = False
        self._memory_mb = memory_mb
        self._disk_mb = disk_mb
        self._folder = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._results = -1
        self._read = b""
        if sys.platform != "linux":
            raise ToolError("its sandbox is made of what Linux has; this is " + sys.platform)
        if means not in (None, *MEANS):
            raise UsageError(f"there is no means {means!r}; allowed: {', '.join(MEANS)}")
        reasons = []
        for each in (means,) if means else MEANS:
            self.means = each
            try:
                self._start()
                return
            except ToolError as error:
                reasons.append(f"{each}: {error}")
        raise ToolError("no sandbox can be made here: " + "; ".join(reasons))

    def run(self, code: str, seconds: float) -> Output:
        """Run code after what was run before, its variables still there.

        Args:
            code: of Python; the value of a last expression is shown.
            seconds: after these the interpreter is ended, and the variables are lost.
        """
        lost = ""
        if self._process is None or self._process.poll() is not None:
            self._start()
        output = bytearray()
        self._signal(signal.SIGCONT)
        try:
            if self._prelude and not self._prepared:
                self._report(self._prelude, bytearray(), _TO_START)
                self._prepared = True
            report = self._report(code, output, seconds)
        except ToolError as error:
            self.end()
            report, lost = {}, f"[{error}; the variables of earlier calls are gone]"
        except BaseException:
            self.end()
            raise
        else:
            self._signal(signal.SIGSTOP)  # nothing goes on between calls
        text = output.decode(errors="replace")
        return self._output(text, lost, report)

    def end(self) -> None:
        """End the interpreter and remove its folder."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                assert stream is not None
                with contextlib.suppress(OSError):
                    stream.close()
            os.close(self._results)
        self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        self.end()
        self._read, self._prepared = b"", False
        self._folder = tempfile.mkdtemp(prefix="xtune-sandbox-")
        self._results, results = os.pipe()
        settings = {
            "means": self.means,
            "folder": self._folder,
            "memory_mb": self._memory_mb,
            "disk_mb": self._disk_mb,
            "cpu_seconds": _CPU_SECONDS,
            "results": results,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-usP", "-m", "xtune.tools.sandbox.launch", json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            pass_fds=[results],
            start_new_session=True,
            cwd=self._folder,
            env={
                "PYTHONPATH": str(Path(xtune.__file__).parents[1]),
                "PYTHONDONTWRITEBYTECODE": "1",
                "LANG": "C.UTF-8",
                "MPLBACKEND": "Agg",
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
                "MKL_NUM_THREADS": "1",
                "MALLOC_ARENA_MAX": "1",
            },
        )
        os.close(results)
        said = bytearray()
        try:
            ready = self._answer(b"", said, _TO_START)
        except BaseException as error:
            self.end()
            if isinstance(error, ToolError):
                raise ToolError(f"{error} {said.decode(errors='replace')[-300:]}") from error
            raise
        if "off" in ready:
            self.end()
            raise ToolError(str(ready["off"]))

    def _report(self, code: str, output: bytearray, seconds: float) -> dict[str, object]:
        ticket = secrets.token_hex(8)
        request = json.dumps({"code": code, "ticket": ticket}).encode() + b"\n"
        report = self._answer(request, output, seconds)
        if report.get("ticket") != ticket or self._read:
            raise ToolError("ended: the code meddled with the interpreter's reports")
        return report

    def _answer(self, request: bytes, output: bytearray, seconds: float) -> dict[str, object]:
        """Send a request, collect the output, and return the report."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        to, out = self._process.stdin.fileno(), self._process.stdout.fileno()
        for fd in (to, out, self._results):
            os.set_blocking(fd, False)
        deadline = time.monotonic() + seconds
        seen, looked, wanted = 0, 0.0, [out, self._results]
        while b"\n" not in self._read:
            now = time.monotonic()
            if now > deadline:
                raise ToolError(f"ended after {seconds:g} seconds, the time limit")
            if self.means == "landlock" and now - looked > 0.2:
                looked = now
                if _size(self._folder) > self._disk_mb << 20:
                    raise ToolError(f"ended: its files are more than {self._disk_mb} MB")
            wait = min(deadline - now, 0.2)
            ready, writable, _ = select.select(wanted, [to] if request else [], [], wait)
            if writable:
                try:
                    request = request[os.write(to, request) :]
                except BrokenPipeError:
                    request = b""
            if out in ready:
                piece = _piece(out)
                if not piece:
                    wanted.remove(out)
                seen += len(piece)
                _keep(output, piece, seen)
            if self._results in ready:
                piece = _piece(self._results)
                if not piece or len(self._read) > _MOST_REPORT:
                    self._drain(out, output, seen)
                    raise ToolError(self._how_it_ended())
                self._read += piece
        self._drain(out, output, seen)
        line, _, self._read = self._read.partition(b"\n")
        with contextlib.suppress(ValueError, RecursionError):
            report = json.loads(line)
            if isinstance(report, dict):
                return report
        raise ToolError("the interpreter's report cannot be read")

    def _drain(self, out: int, output: bytearray, seen: int) -> None:
        # What was written before the report is in the pipe by now; a pipe holds 64 kB or so
        while select.select([out], [], [], 0)[0] and seen < 1 << 40:
            piece = _piece(out)
            if not piece:
                return
            seen += len(piece)
            _keep(output, piece, seen)
            if len(piece) < 4096:
                return

    def _how_it_ended(self) -> str:
        assert self._process is not None
        try:
            code = self._process.wait(2)
        except subprocess.TimeoutExpired:
            return "the interpreter closed its connection"
        # The launcher returns the interpreter's signal as its exit code, less 256
        number = 256 - code if code > 128 else 0
        with contextlib.suppress(ValueError):
            return f"the interpreter was ended by {signal.Signals(number).name}"
        return f"the interpreter ended with exit code {code}"

    def _signal(self, number: int) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)  # the launcher and the interpreter

    def _output(self, text: str, lost: str, report: dict[str, object]) -> Output:
        files = {}
        sent = report.get("files")
        for name, content in sent.items() if isinstance(sent, dict) else ():
            with contextlib.suppress(binascii.Error, TypeError, ValueError):
                files[str(name)] = base64.b64decode(content)
        notes = [f"[file: {name}]" for name in files]
        left = report.get("too_large")
        if isinstance(left, list) and left:
            notes.append(f"[too large to hand over: {', '.join(map(str, left))[:200]}]")
        if lost:
            notes.append(lost)
        content = "\n".join([*([text.rstrip("\n")] if text.strip() else []), *notes])
        return Output(content or "done, no output", files, ok=report.get("ok") is True)


def _piece(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return b""


def _keep(output: bytearray, piece: bytes, seen: int) -> None:
    """Keep the beginning and the end of a flood."""
    output += piece
    if len(output) > _MOST_OUTPUT:
        half = _MOST_OUTPUT // 2
        output[half:-half] = f"\n[... of {seen} bytes written ...]\n".encode()


def _size(folder: str) -> int:
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_blocks * 512
    return total
