"""MOSS's plugins in a dialogue, as `moss_003_sft` trains them; see xtune/tools/moss.py.

    assistant  <|Inner Thoughts|>: It wants a product.<eot>\\n<|Commands|>: Calculate("3*3")<eoc>
    tool       Calculate("3*3") =>\\n9
    assistant  Nine.

The marks and special tokens of the first stay in its text: the template moss_sft tells by them what
it is. It writes those around the other two itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from xtune.agents.base import Step
from xtune.agents.forms import Turn
from xtune.data.tool_calls import Call
from xtune.generation.reply import Reply
from xtune.structures import Message
from xtune.tools.moss import PLUGINS, moss_calls, moss_command

__all__ = ["MossForm"]

_THOUGHTS = re.compile(r"<\|Inner Thoughts\|>:(.*?)(?:<eot>|<\|Commands\|>|\Z)", re.DOTALL)
_NAMES = {
    "search": ("Web search", "Search(query)"),
    "calculate": ("Calculator", "Calculate(expression)"),
    "solve": ("Equation solver", "Solve(equation)"),
}


class MossForm:
    """Inner thoughts, commands, results.

    Args:
        plugins: those that are on, of `PLUGINS`; each needs its tool in the box.
    """

    stop: tuple[str, ...] = ("<eoc>",)

    def __init__(self, plugins: Sequence[str]) -> None:
        self.tools: list[dict[str, Any]] = []
        self._plugins = tuple(plugins)
        lines = ["Capabilities and tools that MOSS can possess.", "- Inner thoughts: enabled."]
        for plugin, (name, api) in _NAMES.items():
            on = f"enabled. API: {api}" if plugin in plugins else "disabled."
            lines.append(f"- {name}: {on}")
        off = [f"- {name}: disabled." for name in ("Text-to-image", "Image edition")]
        self.instructions = "\n".join([*lines, *off, "- Text-to-speech: disabled."])

    def read(self, reply: Reply) -> Turn:
        """Say what a turn means: without inner thoughts and commands it is an answer."""
        text = reply.written
        if "<|Commands|>" not in text and "<|Inner Thoughts|>" not in text:
            answer = reply.message["content"].strip()  # after results it begins with a space
            return Turn(answer=answer) if answer else Turn(malformed="it is empty")
        thought = _THOUGHTS.search(text)
        if "<|Commands|>" not in text:
            return Turn(malformed="there are no <|Commands|> after the inner thoughts")
        calls = tuple(self._call(*command) for command in moss_calls(text))
        return Turn(thought=thought[1].strip() if thought else "", calls=calls)

    def said(self, reply: Reply, turn: Turn) -> Message:
        """Return the turn with its marks and tokens, as it was trained.

        Args: as `Form.said`.
        """
        if turn.answer is not None:
            return {"role": "assistant", "content": turn.answer}
        before, _, commands = reply.written.strip().partition("<|Commands|>")
        return {
            "role": "assistant",
            "content": f"{before}<|Commands|>{commands.partition('<eoc>')[0].rstrip()}<eoc>",
        }

    def heard(self, steps: Sequence[Step], calls: Sequence[Call]) -> list[Message]:
        """Return one message with all results; 'None' where nothing was asked for.

        Args: as `Form.heard`.
        """
        pieces = []
        for step, call in zip(steps, calls, strict=True):
            plugin = next((p for p, (t, _) in PLUGINS.items() if t == call.name), call.name)
            given = next(iter(call.arguments.values()), "")
            pieces.append(f"{moss_command(plugin, str(given))}\n{step.result}")
        return [{"role": "tool", "content": "\n".join(pieces) or "None"}]

    def _call(self, plugin: str, given: str) -> Call:
        if plugin in self._plugins:
            tool, argument = PLUGINS[plugin]
            return Call(tool, {argument: given})
        return Call(plugin, {"text": given})  # the box says that there is none
