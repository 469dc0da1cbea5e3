"""`ToolSpec`: what a model is told of a tool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["SECONDS", "ToolSpec"]

SECONDS = 10.0  # of a call, unless its declaration says otherwise


@dataclass(frozen=True)
class ToolSpec:
    """What a model is told of a tool.

    Attributes:
        name: letters, digits, `_` and `-`; at most 64 of them.
        description: what it does.
        parameters: JSON schema of its arguments, an object.
        seconds: the longest that a call of it may take.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    seconds: float = SECONDS

    def schema(self) -> dict[str, Any]:
        """Return it in OpenAI's form, as chat templates take it in `tools=`."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": dict(self.parameters),
            },
        }
