"""`python`: run a model's code where it can do no harm."""

from __future__ import annotations

from xtune.tools.base import Output, Tool, ToolError, tool
from xtune.tools.sandbox.compiled import compile_once
from xtune.tools.sandbox.sandbox import Sandbox
from xtune.tools.schema import spec_of

__all__ = ["Python"]

_LONGEST = 100_000  # characters of code
_TO_START = 60.0  # seconds, of an interpreter that was ended before


@tool(name="python", alone=True)
class Python:
    """An interpreter in a sandbox, its variables kept from call to call.

    Args:
        seconds: the longest that a call may run; the interpreter is then ended.
        memory_mb: of address space; arrays and packages have to fit into it.
        disk_mb: of files in its working folder.
        means: 'namespaces' or 'landlock'; default: the first that works here.

    Raises:
        ToolError: this system has not what the sandbox is made of.
    """

    def __init__(
        self,
        *,
        seconds: float = 20.0,
        memory_mb: int = 1024,
        disk_mb: int = 64,
        means: str | None = None,
    ) -> None:
        self._seconds = seconds
        self._sandbox = Sandbox(memory_mb=memory_mb, disk_mb=disk_mb, means=means)
        compile_once("matplotlib", "matplotlib.pyplot")

    def tools(self) -> list[Tool]:
        """Return the tool, with the time that its options give it."""
        spec = spec_of(self.run, name="python", seconds=self._seconds + _TO_START)
        return [Tool(spec, self.run)]

    def run(self, code: str) -> Output:
        """Run Python code and return what it prints and the value of its last line.

        Variables are kept from call to call. numpy, sympy and matplotlib are there; figures and
        files that it writes are handed over. There is no network, no other process, no thread.

        Args:
            code: Python code; print what you want to see.
        """
        if len(code) > _LONGEST:
            raise ToolError(f"the code has {len(code)} characters, {_LONGEST} are allowed")
        return self._sandbox.run(code, self._seconds)
