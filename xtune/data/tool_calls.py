"""Read the tool calls in what a model writes: the one parser of evaluation, chat and agents.

A chat template that has a place for tools writes calls in a form of its own:

    <tool_call>\\n{"name": "add", "arguments": {"a": 2}}\\n</tool_call>            Qwen, Hermes
    <|action_start|><|plugin|>\\n{"name": "add", "parameters": {"a": 2}}…          InternLM2
    add\\n{"a": 2}                                                                 GLM-4

`call_form` finds it by rendering a call: the form is the one that reads it back. So what a tuned
model emits is read as it was trained. Nothing is ever executed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from xtune.errors import DataError
from xtune.structures import Message

if TYPE_CHECKING:
    from xtune.data.templates import Template

__all__ = [
    "Call",
    "CallForm",
    "MalformedCall",
    "call_form",
    "call_in",
    "reasoning_in",
    "refuse_constant",
    "written_call",
]

_MOST = 16  # calls of one turn


class MalformedCall(ValueError):
    """A text begins a call and does not write it; says where and what is wrong."""


class Call(NamedTuple):
    """A tool call.

    Attributes:
        name: of the tool.
        arguments: by name.
        id: what the model calls the call; '' where its form has none.
    """

    name: str
    arguments: dict[str, Any]
    id: str = ""

    def as_message_part(self) -> dict[str, Any]:
        """Return it as it stands in a message's `tool_calls`."""
        made: dict[str, Any] = {
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        }
        return made | ({"id": self.id} if self.id else {})


class CallForm(NamedTuple):
    """How calls are written.

    Attributes:
        name: for people.
        opens: where the first call begins; what stands before it is text.
        read_calls: from there on; raises MalformedCall.
    """

    name: str
    opens: re.Pattern[str]
    read_calls: Callable[[str], list[Call]]

    def read(self, text: str) -> tuple[str, list[Call]]:
        """Part what a model wrote, special tokens and all, into text and calls.

        Raises:
            MalformedCall: a call begins, and is none.
        """
        found = self.opens.search(text)
        if found is None:
            return text.strip(), []
        return text[: found.start()].strip(), self.read_calls(text[found.start() :])[:_MOST]


def call_in(text: str) -> dict[str, Any] | None:
    """Return the tool call that the whole text is, or None.

    A call is one JSON object with a `name` and an object of `arguments`; white space may stand
    around it and nothing else.

    >>> call_in('{"name": "now", "arguments": {}}')
    {'name': 'now', 'arguments': {}}
    >>> call_in('Sure: {"name": "now", "arguments": {}}') is None
    True
    """
    try:
        call = json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError):  # no JSON; an integer of thousands of digits; [[[[…
        return None
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return None
    return call if isinstance(call.get("arguments"), dict) else None


def reasoning_in(text: str) -> tuple[str, str]:
    r"""Part a text into the reasoning in its <think> tags and the rest.

    >>> reasoning_in('<think>\n2 and 2.\n</think>\n\nFour.')
    ('2 and 2.', 'Four.')
    >>> reasoning_in('Four.')
    ('', 'Four.')
    """
    before, closing, after = text.partition("</think>")
    if not closing:
        return "", text
    return before.strip().removeprefix("<think>").strip(), after.lstrip()


def call_form(template: Template) -> CallForm | None:
    """Return the form in which a template writes calls; None if it writes none, or an unknown one.

    Args:
        template: asked to render a dialogue with a call in it.
    """
    probe = Call("probe_tool", {"count": 2, "text": 'a "b"'})
    written = written_call(template, probe)
    if written is None:
        return None
    for form in _FORMS:
        try:
            _, calls = form.read(reasoning_in(written)[1])
        except MalformedCall:
            continue
        if [call[:2] for call in calls] == [probe[:2]]:
            return form
    return None


def written_call(template: Template, call: Call) -> str | None:
    """Return an answer that is one call, as a template writes it; None if it writes none.

    Args:
        template: asked to render a dialogue with the call in it.
        call: of any tool.
    """
    if "tool_calls" not in template.source:
        return None
    tool = {"name": call.name, "description": "?", "parameters": {"type": "object"}}
    question: Message = {"role": "user", "content": "?"}
    answer: Message = {
        "role": "assistant",
        "content": "",
        "tool_calls": [call.as_message_part()],
    }
    try:
        (spans,) = template.samples_of(
            {"tools": [{"type": "function", "function": tool}], "messages": [question, answer]}
        )
    except DataError:
        return None
    written = "".join(span.text for span in spans if span.trained)
    for word in template.end_tokens:
        written = written.removesuffix(word)
    return written


def refuse_constant(constant: str) -> Any:
    """Refuse NaN and Infinity, which Python's parser would take for JSON."""
    raise ValueError(f"{constant} is no JSON")


# ---- The forms


_DECODER = json.JSONDecoder(strict=False, parse_constant=refuse_constant)


def _json_at(text: str, at: int) -> tuple[Any, int]:
    while at < len(text) and text[at].isspace():
        at += 1
    try:
        return _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError) as error:
        raise MalformedCall(f"the call is no JSON ({error}): {text[at : at + 80]!r}") from None


def _call_of(value: Any) -> Call:
    """A call in JSON; its arguments may be text that is JSON, and have either name."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise MalformedCall(f"a call needs a 'name' and 'arguments': {str(value)[:80]}")
    given = value.get("arguments", value.get("parameters", {}))
    if isinstance(given, str):
        given, _ = _json_at(given or "{}", 0)
    if not isinstance(given, dict):
        raise MalformedCall(
            f"the arguments of {value['name']} must be an object: {str(given)[:80]}"
        )
    return Call(value["name"], given, str(value.get("id") or ""))


def _between(opening: str) -> CallForm:
    """Each call in JSON, or a list of them, after an opening mark."""

    def read(text: str) -> list[Call]:
        calls: list[Call] = []
        at = text.find(opening)
        while at >= 0 and len(calls) < _MOST:
            value, end = _json_at(text, at + len(opening))
            calls += map(_call_of, value if isinstance(value, list) else [value])
            at = text.find(opening, end)
        return calls

    return CallForm(opening, re.compile(re.escape(opening)), read)


_DEEPSEEK = re.compile("<｜tool▁call▁begin｜>function<｜tool▁sep｜>([^\n]*)\n```json\n")
_NAMED = re.compile(r"(?:\A|<\|assistant\|>)\s*([A-Za-z_][\w.-]{0,63})\n(?=\s*(?:\{|```python))")
_KEYWORDS = re.compile(r"\s*```python\s*tool_call\(")
_KEYWORD = re.compile(r"\s*(\w+)\s*=\s*")


def _deepseek(text: str) -> list[Call]:
    found = list(_DEEPSEEK.finditer(text))
    if not found:
        raise MalformedCall(f"a call begins, and names no function: {text[:80]!r}")
    return [_call_of({"name": at[1], "arguments": _json_at(text, at.end())[0]}) for at in found]


def _named(text: str) -> list[Call]:
    """GLM's: the tool's name on a line, then JSON, or keywords in a call of `tool_call`."""
    calls = []
    for found in _NAMED.finditer(text):
        keywords = _KEYWORDS.match(text, found.end())
        given = _keywords(text, keywords.end()) if keywords else _json_at(text, found.end())[0]
        calls.append(_call_of({"name": found[1], "arguments": given}))
    return calls


def _keywords(text: str, at: int) -> dict[str, Any]:
    given: dict[str, Any] = {}
    while keyword := _KEYWORD.match(text, at):
        given[keyword[1]], at = _json_at(text, keyword.end())
        while text[at : at + 1] in (",", " "):
            at += 1
    if text[at : at + 1] != ")":
        raise MalformedCall(f"the call does not end with ')': {text[:80]!r}")
    return given


def _bare(text: str) -> list[Call]:
    return [_call_of(_json_at(text, 0)[0])]


_FORMS = (
    _between("<tool_call>"),
    _between("<|action_start|><|plugin|>"),
    _between("<|tool_call|>"),
    _between("[TOOL_CALLS]"),
    CallForm("deepseek", re.compile("<｜tool▁calls▁begin｜>"), _deepseek),
    CallForm("named", _NAMED, _named),
    # Last, since any other form may hold such an object
    CallForm("bare", re.compile(r'(?:\A|\n)\s*\{\s*"name"\s*:'), _bare),
)
