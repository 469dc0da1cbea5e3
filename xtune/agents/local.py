"""Our own model, in this process, as agents see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from xtune.errors import TemplateError
from xtune.generation.generate import prompt_ids
from xtune.generation.model import ChatModel
from xtune.generation.reply import Reply
from xtune.generation.settings import GenerationSettings
from xtune.structures import Message

__all__ = ["LocalModel"]

_PROBE = "xtune's probe"


class LocalModel:
    """A loaded model, its adapter included; see `AgentModel`.

    Args:
        model: the model, its tokenizer and template.
        settings: how to sample.
    """

    def __init__(self, model: ChatModel, settings: GenerationSettings) -> None:
        self.name = model.name
        self._model = model
        self._settings = settings
        self._native = model.call_form is not None

    @property
    def native(self) -> bool:
        """Whether its chat template writes calls in a form that we can read."""
        return self._native

    @property
    def context(self) -> int | None:
        """How many tokens the model can take in all; None where its config does not say."""
        return self._model.context

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> int:
        """How many tokens the prompt for the next answer has.

        Args:
            messages: the dialogue so far.
            tools: their descriptions.
        """
        return self._model.count_tokens(messages, tools)

    def takes_role(self, role: str) -> bool:
        """Whether the template shows a message of this role that follows an answer."""
        messages: list[Any] = [
            {"role": "user", "content": "?"},
            {"role": "assistant", "content": "!"},
            {"role": role, "content": _PROBE},
        ]
        try:
            ids = prompt_ids(self._model.tokenizer, messages)
        except TemplateError:
            return False
        return _PROBE in str(self._model.tokenizer.decode(ids))

    def answer(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]],
        on_text: Callable[[str], None],
        *,
        stop: Sequence[str] = (),
    ) -> Reply:
        """Answer a dialogue; see `AgentModel`.

        Args: as `AgentModel.answer`.

        Raises:
            UsageError: the prompt fills the context.
            TemplateError: the chat template refuses the dialogue.
        """
        return self._model.reply(
            messages, on_text, settings=self._settings, tools=tools, stop_words=stop
        )
