"""The tools of one conversation: their schemas for the model, and the calls it makes.

    with ToolBox(["calculator", "files", "my.py:shout"], {"files": {"root": "notes"}}) as box:
        box.schemas()                                  -> [{"type": "function", "function": …}, …]
        box.call("calculator", {"expression": "6*7"})  -> ToolResult(ok=True, content="42", …)

Tools run in processes of their own, never in this one: a call can be ended whatever it does, and
what it breaks is only its process. Those without a state share one kind of process; those that
keep something between calls have one each.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xtune.errors import RegistryError, UsageError, XtuneError, did_you_mean
from xtune.tools.arguments import read_arguments
from xtune.tools.base import ToolError, ToolResult
from xtune.tools.build import declaration_of
from xtune.tools.process import Late, Worker
from xtune.tools.spec import ToolSpec

__all__ = ["ToolBox"]

_TO_START = 120.0  # seconds, for a worker to build its tools: an index, a connection
_AT_ONCE = 4  # processes of the tools without a state
_ERRORS: dict[str, type[XtuneError]] = {"RegistryError": RegistryError}


class ToolBox:
    """Some tools, ready to be called, from any thread.

    Args:
        names: registered names, `package.module.name` or `path/to/file.py:name`; see
            `xtune list-tools`.
        options: by such a name, the tool's options.
        longest: characters of a result; of a longer one the middle is left out.
        folder: where files go that tools make; default: one that `close` removes.

    Attributes:
        specs: what there is to call.
        off: by name, why a tool that was asked for cannot work on this machine.

    Raises:
        RegistryError: a name that no tool has.
        UsageError: an option that a tool does not have, or lacks; two tools of one name.
    """

    def __init__(
        self,
        names: Sequence[str],
        options: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        longest: int = 4000,
        folder: str | Path | None = None,
    ) -> None:
        options = dict(options or {})
        for name in options:
            if name not in names:
                raise UsageError(
                    f"there are options for the tool {name!r}, which is not among those asked "
                    f"for{did_you_mean(name, names) or ':'} {', '.join(names)}"
                )
        self._made_folder = folder is None
        self.folder = Path(folder or tempfile.mkdtemp(prefix="xtune-tools-")).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.specs: tuple[ToolSpec, ...] = ()
        self.off: dict[str, str] = {}
        self._pools: dict[str, _Pool] = {}
        self._all: list[_Pool] = []
        together: list[list[Any]] = []
        groups: list[tuple[list[list[Any]], int]] = [(together, _AT_ONCE)]
        try:
            for name in dict.fromkeys(names):
                entry = [name, dict(options.get(name, {}))]
                if declaration_of(name).alone:
                    groups.append(([entry], 1))
                else:
                    together.append(entry)
            for entries, most in groups:
                if entries:
                    self._open(entries, most, longest)
        except BaseException:
            self.close()
            raise

    def schemas(self) -> list[dict[str, Any]]:
        """Return the tools in OpenAI's form, as chat templates take them in `tools=`."""
        return [spec.schema() for spec in self.specs]

    def call(self, name: str, arguments: Mapping[str, Any] | str) -> ToolResult:
        """Call a tool. Whatever goes wrong is a result too, for the model to read.

        A call that takes longer than the tool's time is ended, and so is one that Ctrl-C
        interrupts; the exception then goes on to the caller.

        Args:
            name: of the tool.
            arguments: by name, or the JSON text of such an object.
        """
        began = time.monotonic()
        name = str(name)  # as a model's JSON has it, which may be anything
        spec = next((spec for spec in self.specs if spec.name == name), None)
        try:
            if spec is None:
                raise ToolError(self._unknown(name))
            given = read_arguments(spec, arguments)
            answer = self._pools[name].ask({"name": name, "arguments": given}, spec.seconds)
        except Late:
            assert spec is not None
            answer = {
                "ok": False,
                "content": f"{name} was ended after {spec.seconds:g} seconds, its time limit",
            }
        except ToolError as error:
            answer = {"ok": False, "content": str(error)}
        return ToolResult(
            ok=bool(answer["ok"]),
            content=answer["content"],
            files=tuple(map(Path, answer.get("files", ()))),
            seconds=time.monotonic() - began,
        )

    def made_file(self, name: str) -> Path | None:
        """Return the path of a file that a tool has made; None if none has that name.

        Args:
            name: of the file alone; any other path leads nowhere.
        """
        path = self.folder / name
        if not name or "/" in name or "\0" in name or name.startswith("."):
            return None
        return None if path.is_symlink() or not path.is_file() else path

    def stop(self) -> None:
        """End what runs, and forget what tools keep between calls; the box can be used on.

        For a new conversation, and for calls that other threads wait for.
        """
        for pool in self._all:
            pool.stop()

    def close(self) -> None:
        """End all processes; remove the folder of files if the box made it."""
        self.stop()
        if self._made_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> ToolBox:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _open(self, entries: list[list[Any]], most: int, longest: int) -> None:
        pool = _Pool(
            {"tools": entries, "folder": str(self.folder), "longest": longest},
            most,
        )
        self._all.append(pool)
        opened = pool.open()
        self.off |= opened["off"]
        for spec in (ToolSpec(*fields) for fields in opened["specs"]):
            if spec.name in self._pools:
                raise UsageError(f"two tools are called {spec.name!r}; leave one of them out")
            self._pools[spec.name] = pool
            self.specs += (spec,)

    def _unknown(self, name: str) -> str:
        if name in self.off:
            return f"{name} is off: {self.off[name]}"
        known = [spec.name for spec in self.specs]
        return (
            f"there is no tool {name[:80]!r}{did_you_mean(name[:80], known) or ';'} "
            f"there are: {', '.join(known) or 'none'}"
        )


class _Pool:
    """Workers with the same tools: as many as there are calls at once, up to `most`."""

    def __init__(self, opening: dict[str, Any], most: int) -> None:
        self._opening = opening
        self._free = threading.Semaphore(most)
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        self._busy: list[Worker] = []

    def open(self) -> dict[str, Any]:
        """Start the first worker and return what it says of its tools."""
        worker, opened = self._started()
        self._idle.append(worker)
        self._busy.remove(worker)
        return opened

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        with self._free:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
                if worker is not None:
                    self._busy.append(worker)
            if worker is not None and worker.ended:
                self._gone(worker)
                worker = None
            if worker is None:
                worker, _ = self._started()
            try:
                answer = worker.ask(request, seconds)
            except BaseException:
                self._gone(worker)
                raise
            with self._lock:
                stopped = worker not in self._busy
                if not stopped:
                    self._busy.remove(worker)
                    self._idle.append(worker)
            if stopped:
                worker.end()
            return answer

    def stop(self) -> None:
        with self._lock:
            idle, busy = self._idle, self._busy
            self._idle, self._busy = [], []
        for worker in idle:
            worker.end()
        for worker in busy:  # the threads that wait for them close what leads there
            worker.kill()

    def _started(self) -> tuple[Worker, dict[str, Any]]:
        worker = Worker()
        with self._lock:
            self._busy.append(worker)
        try:
            opened = worker.ask(self._opening, _TO_START)
        except Late:
            self._gone(worker)
            names = ", ".join(name for name, _ in self._opening["tools"])
            raise UsageError(f"not ready after {_TO_START:g} seconds: {names}") from None
        except BaseException:
            self._gone(worker)
            raise
        if "error" in opened:
            self._gone(worker)
            raise _ERRORS.get(opened["kind"], UsageError)(opened["error"])
        return worker, opened

    def _gone(self, worker: Worker) -> None:
        with self._lock, contextlib.suppress(ValueError):
            self._busy.remove(worker)
        worker.end()
