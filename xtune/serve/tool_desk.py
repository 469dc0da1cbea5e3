"""Tools that the operator of a server has named, called for whoever may ask it.

    xtune serve work_dirs/mine --tools calculator python

A call runs where those of `xtune chat --lagent` run: in the tool box's own processes, each within
its time. What runs code, reads files or reaches out is asked for first: see `ToolDesk.asks`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from xtune.serve.engine.questions import Busy
from xtune.tools.base import ToolResult
from xtune.tools.options import DEFAULT_TOOLS
from xtune.tools.toolbox import ToolBox

__all__ = ["ToolDesk"]

_AT_ONCE = 4  # calls; the threads that render prompts are others
_WAITING = 32  # calls that may wait besides; more are told to come again
_RETRY_AFTER = 2  # seconds


class ToolDesk:
    """The tools of a server; what they keep between calls is shared by all who call.

    Args:
        names: as for `ToolBox`: no other tool can be called.
        options: as for `ToolBox`.

    Attributes:
        box: with the tools.

    Raises:
        RegistryError, UsageError: as by `ToolBox`.
    """

    def __init__(
        self, names: Sequence[str], options: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        self.box = ToolBox(names, options)
        # xtune's own, named by the operator: a foreign tool of that name is refused then.
        self._harmless = frozenset(names).intersection(DEFAULT_TOOLS)
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="tool")
        self._here = 0

    def asks(self, name: str) -> bool:
        """Whether a person has to allow each call of a tool.

        Not so where a tool computes and no more: it reaches nothing, and runs no code of a model's.

        Args:
            name: of the tool.
        """
        return name not in self._harmless

    async def call(self, name: str, arguments: Mapping[str, Any] | str) -> ToolResult:
        """Call a tool; whatever goes wrong in it is a result.

        Args:
            name: of the tool.
            arguments: by name, or the JSON text of such an object.

        Raises:
            Busy: too many calls wait already.
        """
        if self._here >= _AT_ONCE + _WAITING:
            raise Busy(f"{self._here} calls of tools wait already", _RETRY_AFTER)
        self._here += 1
        done = self._threads.submit(self.box.call, name, arguments)
        loop = asyncio.get_running_loop()

        def leave(_: Future[ToolResult]) -> None:
            with contextlib.suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(self._left)

        # a call whose client has left runs to its end: only then is there room for another
        done.add_done_callback(leave)
        return await asyncio.wrap_future(done)

    def close(self) -> None:
        """End all calls, and the processes of the tools."""
        self.box.close()
        self._threads.shutdown(cancel_futures=True)

    def __enter__(self) -> ToolDesk:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _left(self) -> None:
        self._here -= 1
