"""`solve`: equations, by sympy in the sandbox."""

from __future__ import annotations

from pathlib import Path

from xtune.tools.base import Output, ToolError, tool
from xtune.tools.sandbox.compiled import compile_once
from xtune.tools.sandbox.sandbox import Sandbox

__all__ = ["Solve"]

_ALGEBRA = Path(__file__).parent / "sandbox/algebra.py"
_SECONDS = 20.0
_LONGEST = 1000  # characters


@tool(name="solve", seconds=90, alone=True)
class Solve:
    """Sympy behind a sandbox's walls: its parser evaluates what it reads."""

    def __init__(self) -> None:
        self._sandbox = Sandbox(prelude=_ALGEBRA.read_text("utf-8"))
        compile_once("sympy", "sympy")

    def __call__(self, equations: str, unknowns: str = "") -> Output:
        """Solve an equation, a system of equations, or an inequality.

        Args:
            equations: such as "x^2 - 4 = 0"; several are separated by ';'.
            unknowns: what to solve for, such as "x, y"; left out: all the letters.
        """
        if len(equations) + len(unknowns) > _LONGEST:
            raise ToolError(f"too long: {_LONGEST} characters are allowed")
        code = f"print(solve_text({equations!r}, {unknowns!r}))"
        output = self._sandbox.run(code, _SECONDS)
        if output.ok or not output.content.startswith("Traceback"):
            return output
        raise ToolError(output.content.splitlines()[-1])  # the exception; the frames are ours
