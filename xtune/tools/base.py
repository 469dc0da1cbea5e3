"""What a tool is: a typed function under the `@tool` decorator, and what a call of it gives.

    @tool(seconds=5)
    def shout(text: str, times: int = 1) -> str:
        # docstring: a sentence that tells the model its use, and under `Args:` one for each
        # argument; see schema.py
        return " ".join([text.upper()] * times)

A class under the decorator is a tool with options: its `__init__` takes them, by keyword, and its
`__call__` is the typed function; or its `tools()` returns several `Tool`s. See build.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, overload

from xtune.errors import RegistryError
from xtune.registry import TOOLS
from xtune.tools.schema import spec_of
from xtune.tools.spec import SECONDS, ToolSpec

__all__ = ["Declaration", "Output", "Tool", "ToolError", "ToolResult", "tool"]

_T = TypeVar("_T", bound=Callable[..., Any])


class ToolError(Exception):
    """A tool cannot do what it was asked; the text is what the model reads.

    Any other exception of a tool is read by the model too, after the exception's name.
    """


@dataclass(frozen=True)
class Output:
    """What a tool may return instead of text: text and files.

    Attributes:
        content: the text.
        files: bytes by file name; the tool box writes them into its folder.
        ok: false if the call failed, yet left something to hand over.
    """

    content: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    ok: bool = True


@dataclass(frozen=True)
class ToolResult:
    """What a call gave: always text, also when it failed.

    Attributes:
        ok: whether the tool did what it was asked.
        content: what the model reads: the result, or what went wrong and what to do.
        files: what the tool made, such as figures.
        seconds: how long the call took.
    """

    ok: bool
    content: str
    files: tuple[Path, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Tool:
    """A tool that is ready to be called.

    Attributes:
        spec: what the model is told of it.
        function: takes the arguments by name; returns text, an `Output`, or what `str` makes text.
    """

    spec: ToolSpec
    function: Callable[..., Any]


@dataclass(frozen=True)
class Declaration:
    """What the decorator leaves on a function or class as `__tool__`.

    Attributes:
        name: as it is registered.
        seconds: the longest that a call may take.
        alone: whether it keeps something between calls, or holds a connection: it then has a
            process of its own, and its calls wait for each other.
    """

    name: str
    seconds: float
    alone: bool


@overload
def tool(declared: _T, /) -> _T: ...
@overload
def tool(
    *, name: str | None = None, seconds: float = SECONDS, alone: bool = False
) -> Callable[[_T], _T]: ...
def tool(
    declared: Any = None,
    /,
    *,
    name: str | None = None,
    seconds: float = SECONDS,
    alone: bool = False,
) -> Any:
    """Register a function, or a class, as a tool.

    A function's signature and docstring must make a whole schema: a type and a sentence for each
    argument.

    Args:
        declared: the function or class, where the decorator stands without brackets.
        name: default: the function's own.
        seconds: the longest that a call may take; it is then ended, whatever it does.
        alone: the tool keeps something between calls: see `Declaration`.

    Raises:
        RegistryError: there is a tool of that name, or the function's schema would have gaps.
    """

    def register(declared: _T) -> _T:
        registered = name or declared.__name__
        declared.__tool__ = Declaration(registered, seconds, alone)  # type: ignore[attr-defined]
        if not isinstance(declared, type):
            spec_of(declared, name=registered, seconds=seconds)
        other = TOOLS.module_dict.get(registered)
        # Two files of a user's may each have a `load`; a box takes one tool of a name
        if other is not None and _is_shipped(other) and not _is_shipped(declared):
            raise RegistryError(
                f"there is a tool {registered!r} already, which comes with xtune; "
                "give yours another name: @tool(name='...')"
            )
        TOOLS.register_module(registered, force=True)(declared)
        return declared

    return register if declared is None else register(declared)


def _is_shipped(declared: Any) -> bool:
    return declared.__module__.startswith("xtune.tools.")
