"""Messages to text, exactly as `tokenizer.apply_chat_template(..., tokenize=False)` renders them.

transformers' `render_jinja_template` is called without the tokenizer's wrapper around it, which
takes a third of the time of a short dialogue; and only twice for dialogues of the same roles, where
the template's outline says the rest (outline.py). A test holds all three equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateSyntaxError

from xtune.data.map_fns.base import UnusableRow
from xtune.data.templates.call_style import CallStyle, style_of
from xtune.data.templates.dates import dated, tells_the_date
from xtune.data.templates.outline import Outline, Outliner
from xtune.errors import TemplateError
from xtune.structures import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Renderer", "own_renderer"]

_LONGEST = 16  # messages of a dialogue that is outlined
_MOST = 256  # shapes that are outlined; data whose roles come in more orders are rendered
_TEXT_ONLY = {"role", "content"}
_OURS = {"loss", "weight"}  # of a message, and none of a template's business


class Renderer:
    """A jinja chat template and the special tokens that it may write.

    Attributes:
        jinja: the template's text.
        tool_use: of a second one, which dialogues with tools are rendered with; None: the same.
        day: '2026-11-30', for a template that asks for today's date; None: by the clock.

    Args:
        jinja: see above.
        tokenizer: gives `bos_token`, `eos_token` and the like.
        tool_use: see above.
        day: see above.
    """

    def __init__(
        self,
        jinja: str,
        tokenizer: PreTrainedTokenizerBase,
        *,
        tool_use: str | None = None,
        day: str | None = None,
    ) -> None:
        # Here, since `xtune list-templates` imports this file and needs no transformers
        from transformers.utils.chat_template_utils import render_jinja_template

        self.jinja = jinja
        self.tool_use = tool_use
        self.day = day
        self._render = render_jinja_template
        self._special_tokens: dict[str, Any] = dict(tokenizer.special_tokens_map)
        self._outliner = Outliner(jinja, self._special_tokens)
        self._met: set[tuple[tuple[str, ...], bool]] = set()  # roles, with a prompt or without
        self._outlines: dict[tuple[tuple[str, ...], bool], Outline | None] = {}

    @cached_property
    def call_style(self) -> CallStyle:
        """How the template takes calls."""
        return style_of(lambda messages, tools: self._rendered(messages, tools, False))

    def __call__(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]] | None = None,
        *,
        add_generation_prompt: bool = False,
    ) -> str:
        """Return the text of `messages`, with the opening of an answer after them if wanted.

        Raises:
            TemplateError: the template is not valid jinja.
            UnusableRow: the template refuses these messages; the reason is its own.
        """
        plain: list[dict[str, Any]] = [
            {key: value for key, value in message.items() if key not in _OURS and value is not None}
            for message in messages
        ]
        if tools or len(plain) > _LONGEST or any(map(_has_more_than_text, plain)):
            if any(message.get("tool_calls") for message in plain):
                plain = [self.call_style(message) for message in plain]
            return self._rendered(plain, tools, add_generation_prompt)
        shape = tuple([message["role"] for message in plain]), add_generation_prompt
        texts = [message["content"] for message in plain]
        if (outline := self._outlines.get(shape)) is not None:
            return outline(texts)
        rendered = self._rendered(plain, None, add_generation_prompt)
        if shape not in self._met:
            if len(self._met) < _MOST:
                self._met.add(shape)  # rendered once: perhaps only to find out about the template
        elif shape not in self._outlines:
            made = self._outliner.outline(shape[0], add_generation_prompt=add_generation_prompt)
            self._outlines[shape] = made if made and made(texts) == rendered else None
        return rendered

    @property
    def source(self) -> str:
        """The text of all its jinja."""
        return self.jinja + (self.tool_use or "")

    def _rendered(
        self,
        plain: list[dict[str, Any]],
        tools: Sequence[dict[str, Any]] | None,
        add_generation_prompt: bool,
    ) -> str:
        jinja = self._jinja_for(plain, tools)
        pinned = self.day is not None and tells_the_date(jinja)
        try:
            rendered = self._render(
                [plain],
                tools=list(tools) if tools else None,
                chat_template=dated(jinja, self.day) if pinned and self.day else jinja,
                add_generation_prompt=add_generation_prompt,
                **self._special_tokens,
            )
        except TemplateSyntaxError as error:
            raise TemplateError(
                "the chat template is not valid jinja: "
                f"line {error.lineno - pinned}: {error.message}"
            ) from error
        except Exception as error:  # the template's own raise_exception, or it met the unexpected
            raise UnusableRow(f"the chat template refuses the dialogue: {error}") from error
        return rendered[0][0]  # of the first and only dialogue

    def _jinja_for(self, messages: Sequence[Any], tools: Sequence[dict[str, Any]] | None) -> str:
        if self.tool_use is None or not (tools or any(m.get("tool_calls") for m in messages)):
            return self.jinja
        return self.tool_use


def own_renderer(tokenizer: PreTrainedTokenizerBase) -> Renderer:
    """Return the chat template that a tokenizer has, as `template='auto'` takes it.

    Raises:
        TemplateError: it has none, or several by name and none is 'default'.
    """
    jinja = tokenizer.chat_template
    named = jinja if isinstance(jinja, dict) else {"default": jinja}
    if not named.get("default"):
        raise TemplateError(
            f"the chat templates of {tokenizer.name_or_path!r} are {', '.join(named)}, and none is "
            "called 'default': correct its chat_template, or name a registered one"
        )
    return Renderer(named["default"], tokenizer, tool_use=named.get("tool_use"))


def _has_more_than_text(message: dict[str, Any]) -> bool:
    return (
        message.keys() != _TEXT_ONLY
        or type(message["role"]) is not str
        or type(message["content"]) is not str
        or not message["content"]
    )
