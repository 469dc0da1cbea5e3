"""Ollama's Modelfile: the chat template in Go's language, which is all that Ollama reads.

Ollama knows some jinja templates by their text and takes a default for any other, so that a tuned
model talks nonsense. Here the Go text is made from what the jinja template writes between two
messages, by the roles of both:

    start -> system     '<|im_start|>system\\n'
    system -> user      '<|im_end|>\\n<|im_start|>user\\n'
    user -> the answer  '<|im_end|>\\n<|im_start|>assistant\\n'

Then it is run, by the few words of Go that it uses, and compared with jinja over one, two and three
turns, with a system text and without. A template that is not of this kind is refused. Calls of
tools are not expressed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from xtune.data.map_fns.base import UnusableRow
from xtune.data.templates.default_system import default_system_of
from xtune.data.templates.render import own_renderer
from xtune.errors import TemplateError

__all__ = ["go_template", "modelfile", "run_go"]

_MARK = "\u0001{}\u0002"
_LONGEST_CONTEXT = 8192  # tokens; more takes memory that a laptop has not
_CHAT = {"temperature": 0.1, "top_p": 0.75, "top_k": 40, "repeat_penalty": 1.0}  # of xtune chat
_SHAPES = (
    ("user",),
    ("user", "assistant", "user"),
    ("user", "assistant", "user", "assistant", "user"),
)
_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_Render = Callable[[Sequence[Any]], str]


def modelfile(tokenizer: Any, file: str, *, stops: Sequence[str], context: int) -> str:
    """Return a Modelfile with which Ollama answers as chat does.

    Args:
        tokenizer: its chat template writes the run's system text.
        file: the model's, as FROM has it.
        stops: texts that end an answer.
        context: tokens that the model takes.

    Raises:
        TemplateError: the chat template cannot be expressed.
    """
    template = go_template(tokenizer)
    render = own_renderer(tokenizer)
    system = default_system_of(lambda messages, tools: render(messages, tools))
    if '"""' in template + system:
        raise TemplateError('the chat template or the system text has """, which ends a text there')
    lines = [f"FROM {file}", f'TEMPLATE """{template}"""']
    if system:
        lines.append(f'SYSTEM """{system}"""')
    lines += [f"PARAMETER stop {json.dumps(stop, ensure_ascii=False)}" for stop in stops]
    lines.append(f"PARAMETER num_ctx {min(context, _LONGEST_CONTEXT)}")
    lines += [f"PARAMETER {name} {value}" for name, value in _CHAT.items()]
    return "\n".join(lines) + "\n"


def go_template(tokenizer: Any) -> str:
    """Return a chat template as Go text.

    Args:
        tokenizer: has the template.

    Raises:
        TemplateError: it writes more between two messages than their roles decide.
    """
    if not tokenizer.chat_template:
        raise TemplateError("there is no chat template to write in Go's language")
    jinja = own_renderer(tokenizer)

    def render(messages: Sequence[Any]) -> str:
        return jinja(messages, None, add_generation_prompt=True)

    between = _between(render)
    text = _written(between)
    for dialogue in _dialogues(with_system=("", "system") in between):
        expected, found = render(dialogue), run_go(text, dialogue)
        if found != expected:
            roles = " ".join(message["role"] for message in dialogue)
            raise TemplateError(
                f"the chat template cannot be written in Go's language: for {roles} it would give "
                f"{found!r}, and jinja gives {expected!r}"
            )
    return text


def run_go(text: str, messages: Sequence[Any]) -> str:
    """Render messages with a Go template, of the words that `go_template` uses.

    >>> run_go('{{ "a" }}{{ range .Messages }}{{ .Content }}{{ end }}', [{"content": "b"}])
    'ab'

    Args:
        text: the template.
        messages: with `role` and `content`.
    """
    body, at = _parsed(_tokens(text), 0)
    assert at == len(_tokens(text)), "an {{ end }} too many"
    out: list[str] = []
    _run(body, out, {"Messages": messages}, {})
    return "".join(out)


def _between(render: _Render) -> dict[tuple[str, str], str]:
    """What is written before a message, by the roles of the one before and of its own."""
    found: dict[tuple[str, str], str] = {}
    for shape in [*_SHAPES, *(("system", *shape) for shape in _SHAPES)]:
        marks = [_MARK.format(n) for n in range(len(shape))]
        try:
            rendered = render(
                [{"role": r, "content": m} for r, m in zip(shape, marks, strict=True)]
            )
        except UnusableRow:
            if shape[0] == "system":
                continue  # it takes none
            raise TemplateError("the chat template refuses a plain dialogue") from None
        before = ""
        for role, mark in zip(shape, marks, strict=True):
            text, there, rendered = rendered.partition(mark)
            if not there:
                raise TemplateError(
                    "the chat template cannot be written in Go's language: it does not write "
                    f"the {role}'s messages in their order"
                )
            found.setdefault((before, role), text)
            before = role
        found.setdefault((before, "end"), rendered)
    return found


def _written(between: dict[tuple[str, str], str]) -> str:
    """The Go text: one line, everything within it as a quoted text."""
    pieces = ['{{ $prev := "" }}{{ range .Messages }}']
    for role in ("system", "user", "assistant"):
        starts = {before: text for (before, own), text in between.items() if own == role}
        if not starts:
            continue
        pieces.append(f'{{{{ if eq .Role "{role}" }}}}')
        for before, text in starts.items():
            pieces.append(f'{{{{ if eq $prev "{before}" }}}}{_quoted(text)}{{{{ end }}}}')
        pieces.append("{{ .Content }}{{ end }}")
    pieces.append("{{ $prev = .Role }}{{ end }}")
    for (before, own), text in between.items():
        if own == "end":
            pieces.append(f'{{{{ if eq $prev "{before}" }}}}{_quoted(text)}{{{{ end }}}}')
    return "".join(pieces)


def _quoted(text: str) -> str:
    return f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}" if text else ""


def _dialogues(*, with_system: bool) -> Iterator[list[dict[str, str]]]:
    for shape in _SHAPES:
        said = [{"role": role, "content": f"{role} {n}?"} for n, role in enumerate(shape)]
        yield said
        if with_system:
            yield [{"role": "system", "content": "Be brief."}, *said]


def _tokens(text: str) -> list[str]:
    rest = _ACTION.sub("", text)
    assert not rest, f"text outside of actions: {rest!r}"
    return _ACTION.findall(text)


def _parsed(tokens: Sequence[str], at: int) -> tuple[list[Any], int]:
    """Nest what stands between `if` or `range` and its `end`."""
    body: list[Any] = []
    while at < len(tokens) and tokens[at] != "end":
        token = tokens[at]
        at += 1
        if token.startswith(("if ", "range ")):
            inner, at = _parsed(tokens, at)
            at += 1  # its end
            body.append((token, inner))
        else:
            body.append(token)
    return body, at


def _run(body: Sequence[Any], out: list[str], dot: Any, variables: dict[str, str]) -> None:
    for step in body:
        if isinstance(step, tuple):
            head, inner = step
            if head == "range .Messages":
                for message in dot["Messages"]:
                    _run(inner, out, message, variables)
            else:
                _, left, right = head.removeprefix("if ").split(" ", 2)
                if _value(left, dot, variables) == _value(right, dot, variables):
                    _run(inner, out, dot, variables)
        elif found := re.fullmatch(r"(\$\w+) :?= (.*)", step):
            variables[found[1]] = _value(found[2], dot, variables)
        else:
            out.append(_value(step, dot, variables))


def _value(word: str, dot: Any, variables: dict[str, str]) -> str:
    if word.startswith('"'):
        return str(json.loads(word))
    if word.startswith("$"):
        return variables[word]
    return str(dot[word.removeprefix(".").lower()])
