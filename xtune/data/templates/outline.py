r"""What a chat template writes around the texts of a dialogue, where all it does is to write them.

Jinja needs 60 microseconds for a short dialogue, and preparing data is mostly that. Most templates
ask nothing of a message's text; then all dialogues with the same roles have one outline:

    roles    user assistant
    outline  '<|im_start|>user\n' [0] '<|im_end|>\n<|im_start|>assistant\n' [1] '<|im_end|>\n'

Whether a template asks anything is found by rendering once with stand-ins for the texts, which can
be joined to other text and be written, and nothing else: any question about one (is it a string,
does it hold '</think>') ends the attempt, and so does what could give other text for equal roles,
such as the date. One thing may be asked, whether it is empty: it never is, since a dialogue with an
empty text is rendered.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NoReturn

from jinja2 import Template, nodes
from jinja2.exceptions import TemplateError as JinjaError
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

__all__ = ["Outline", "Outliner"]

# What turns a part of the output into a value, which the template could then change
_CAPTURING = (
    *(nodes.CallBlock, nodes.FilterBlock, nodes.AssignBlock, nodes.Block),
    *(nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends),  # macros: see _Environment
)


class _Touched(BaseException):
    """The template wants to know something about a text. No `except Exception` may hide it."""


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise _Touched


class _StandIn:
    """In place of a text, or of one joined to others: `parts` are strings and numbers of texts."""

    __slots__ = ("parts",)

    def __init__(self, *parts: str | int) -> None:
        self.parts = parts

    def __add__(self, other: Any) -> _StandIn:
        return _StandIn(*self.parts, *_parts_of(other))

    def __radd__(self, other: Any) -> _StandIn:
        return _StandIn(*_parts_of(other), *self.parts)

    def __bool__(self) -> bool:
        return True  # no text of an outline is empty

    # All that an object answers by itself, or that a text would answer. Not __call__: a text has
    # none either, and its absence is an error.
    __class__ = property(_refuse)  # isinstance asks for it
    __getattr__ = __getitem__ = __iter__ = __len__ = __contains__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = _refuse
    __str__ = __repr__ = __format__ = _refuse


class _Environment(ImmutableSandboxedEnvironment):
    """Calls no macro, whose output is a value: what a macro has written could be changed after."""

    def call(self, context: Any, called: Any, /, *args: Any, **kwargs: Any) -> Any:
        if isinstance(called, Macro):
            raise _Touched
        return super().call(context, called, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Any:
        # The sandbox's own question, whether an attribute is `str.format`: a stand-in is not
        return None if type(value) is _StandIn else super().wrap_str_format(value)


def _parts_of(value: Any) -> tuple[str | int, ...]:
    if type(value) is _StandIn:
        return value.parts
    if type(value) is str:
        return (value,)
    raise _Touched


class Outline:
    """Fixed text with places for the texts of a dialogue.

    Args:
        parts: strings, and for each text that is written there its number.
    """

    def __init__(self, parts: Sequence[str | int]) -> None:
        self._parts = tuple(parts)

    def __call__(self, texts: Sequence[str]) -> str:
        """Return the dialogue with these texts, none of them empty."""
        return "".join([part if type(part) is str else texts[part] for part in self._parts])  # type: ignore[index]


class Outliner:
    """Makes outlines of one template.

    Args:
        jinja: the template's text.
        variables: what it is given besides the dialogue: special tokens.
    """

    def __init__(self, jinja: str, variables: Mapping[str, Any]) -> None:
        self._jinja = jinja
        self._variables = dict(variables)
        self._mark = secrets.token_hex(8)  # no template writes it of itself

    @cached_property
    def _template(self) -> Template | None:
        # The settings that transformers renders chat templates with; what is missing here is an
        # error, and what is asked of transformers' own functions ends the attempt.
        environment = _Environment(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.loopcontrols"],
            finalize=self._written,
        )
        environment.filters |= {"tojson": _refuse, "random": _refuse}
        environment.globals |= dict.fromkeys(("raise_exception", "strftime_now", "lipsum"), _refuse)
        try:
            tree = environment.parse(self._jinja)
            captures = any(True for _ in tree.find_all(_CAPTURING))
            recursive = any(loop.recursive for loop in tree.find_all(nodes.For))
            return None if captures or recursive else environment.from_string(tree)
        except (JinjaError, _Touched):  # no valid template, or one with a tag of transformers' own
            return None

    def outline(self, roles: Sequence[str], *, add_generation_prompt: bool) -> Outline | None:
        """Return the text written for a dialogue of these roles; None if that depends on its texts.

        Args:
            roles: of the messages, each of which has a role and a content and nothing else.
            add_generation_prompt: with the opening of an answer after them.
        """
        if self._template is None:
            return None
        messages = [
            {"role": role, "content": _StandIn(number)} for number, role in enumerate(roles)
        ]
        try:
            text = self._template.render(
                messages=messages,
                tools=None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self._variables,
            )
        except (Exception, _Touched):  # it refuses the roles, or wants to know something
            return None
        pieces = re.split(f"{self._mark}:([0-9]+);", text)
        return Outline([int(p) if place % 2 else p for place, p in enumerate(pieces)])

    def _written(self, value: Any) -> Any:
        """What jinja writes for a value: for a stand-in the places of its texts."""
        if type(value) is not _StandIn:
            return value
        return "".join(p if type(p) is str else f"{self._mark}:{p};" for p in value.parts)
