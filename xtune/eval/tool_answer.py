"""How tools are told to a model, and which calls its answer makes. Nothing is ever executed.

A chat template that has a place for tools renders them, and the answer's calls have the form that
it writes. Where it has none, the system prompt tells the tools and asks for calls in JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from xtune.agents.react_text import read_react
from xtune.data.templates import build_template
from xtune.data.tool_calls import (
    Call,
    MalformedCall,
    call_form,
    call_in,
    reasoning_in,
    refuse_constant,
)
from xtune.errors import DataError, TemplateError
from xtune.eval.call_match import is_attempt
from xtune.eval.tool_formats.case import ToolCase
from xtune.eval.tool_formats.nexusraven import argument_names
from xtune.eval.tool_formats.python_calls import read_calls
from xtune.generation.generate import prompt_ids
from xtune.structures import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["ReadAnswer", "ToolTalk"]

_INSTRUCTION = (
    "You can use these tools:\n{tools}\nTo use them, answer with JSON calls alone, one "
    '{{"name": ..., "arguments": {{...}}}} a line; where none of them helps, answer in words.'
)
_PROBE = "xtune_probe"


class ReadAnswer(NamedTuple):
    """What an answer does.

    Attributes:
        calls: in order.
        malformed: why a call that it begins cannot be read; '' if none or all can.
    """

    calls: list[Call]
    malformed: str = ""


class ToolTalk:
    """Renders requests with tools for one tokenizer, and reads the answers.

    Args:
        tokenizer: has a chat template.

    Attributes:
        native: whether the chat template itself shows tools.
        form: of the calls that it writes; None if it writes none that we know.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.form = call_form(build_template("auto", tokenizer))
        self._tokenizer = tokenizer
        function = {"name": _PROBE, "description": "?", "parameters": {"type": "object"}}
        self.native = self._shows(_question(), [{"type": "function", "function": function}])
        self._takes_system = self._shows([{"role": "system", "content": _PROBE}, *_question()])

    @property
    def notice(self) -> str:
        """What a user should know about how tools are told; '' if it is the template's own way."""
        if not self.native:
            return (
                "the chat template has no place for tools: the system prompt tells them, "
                "and asks for JSON calls"
            )
        if self.form is None:
            return "the chat template writes calls in an unknown form: they are read as JSON"
        return ""

    def prompt(self, case: ToolCase) -> list[int]:
        """Render a request up to where the answer begins, as token ids.

        Raises:
            TemplateError: the chat template refuses the dialogue.
        """
        if self.native or not case.tools:
            return prompt_ids(self._tokenizer, case.messages, case.tools)
        schemas = "\n".join(json.dumps(t["function"], ensure_ascii=False) for t in case.tools)
        told = _INSTRUCTION.format(tools=schemas)
        role = "system" if self._takes_system else "user"
        return prompt_ids(self._tokenizer, _with(case.messages, role, told))

    def read(self, case: ToolCase, text: str, written: str) -> ReadAnswer:
        """Find the calls of an answer: in the template's form, as JSON, or as Python writes them.

        Args:
            case: what was asked; a ToolBench request is also answered by Action and Action Input.
            text: the answer as a reader sees it.
            written: with its special tokens.
        """
        if self.form is not None:
            try:
                _, calls = self.form.read(reasoning_in(written)[1])
            except MalformedCall as error:
                return ReadAnswer([], str(error))
            if calls and self.form.name != "bare":  # that reads the first of several JSON lines
                return ReadAnswer(calls)
        text = reasoning_in(text)[1].strip()
        if case.first_only:
            turn = read_react(text, {})
            if turn.calls or (turn.malformed and "action" in text.lower()):
                return ReadAnswer(list(turn.calls), turn.malformed)
        calls = _json_calls(text) or (calls if self.form is not None else [])
        if not calls:
            calls = _python_calls(text, case)
        return ReadAnswer(calls, "" if calls or not is_attempt(text) else "a call begins in vain")

    def _shows(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()) -> bool:
        try:
            return _PROBE in str(
                self._tokenizer.decode(prompt_ids(self._tokenizer, messages, tools))
            )
        except TemplateError:
            return False


def _question() -> list[Message]:
    return [{"role": "user", "content": "?"}]


def _with(messages: Sequence[Message], role: str, told: str) -> list[Message]:
    """Put what is told before the first message of a role; or make one, of the system."""
    made: list[Message] = [message.copy() for message in messages]
    for message in made:
        if message["role"] == role:
            message["content"] = f"{told}\n\n{message['content']}"
            return made
    return [{"role": role, "content": told}, *made]


def _json_calls(text: str) -> list[Call]:
    """All JSON calls in a text: one, a list, or one after another, words around them or not."""
    decoder = json.JSONDecoder(strict=False, parse_constant=refuse_constant)
    calls: list[Call] = []
    at = text.find("{")
    while at >= 0:
        try:
            found, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            found, end = None, at + 1
        call = _call(found)
        calls += [call] if call else []
        # What is no call may have one inside, as {"function": {"name": ...}} has
        at = text.find("{", end if call else at + 1)
    return calls


def _call(value: object) -> Call | None:
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        return None
    given = value.get("arguments", value.get("parameters"))
    if isinstance(given, str) and (read := call_in(f'{{"name": "", "arguments": {given}}}')):
        given = read["arguments"]
    return Call(value["name"], given) if isinstance(given, dict) else None


def _python_calls(text: str, case: ToolCase) -> list[Call]:
    try:
        return read_calls(text.removeprefix("Call:"), argument_names(case.tools))
    except DataError:
        return []
