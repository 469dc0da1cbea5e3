"""Our own model, in this process, as agents see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from xtune.agents.base import Reply
from xtune.agents.forms import message_with
from xtune.data.templates import build_template
from xtune.data.tool_calls import CallForm, MalformedCall, call_form
from xtune.errors import TemplateError
from xtune.generation.answer import Answer
from xtune.generation.generate import prompt_ids, stream_answer
from xtune.generation.model import ChatModel
from xtune.generation.settings import GenerationSettings
from xtune.structures import Message

__all__ = ["LocalModel", "reply_of"]

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
        self._form = call_form(build_template("auto", model.tokenizer))

    @property
    def native(self) -> bool:
        """Whether its chat template writes calls in a form that we can read."""
        return self._form is not None

    @property
    def context(self) -> int | None:
        """How many tokens the model can take in all; None where its config does not say."""
        return self._model.context

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> int:
        """How many tokens the prompt for the next answer has."""
        return len(prompt_ids(self._model.tokenizer, messages, tools))

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

        Raises:
            UsageError: the prompt fills the context.
            TemplateError: the chat template refuses the dialogue.
        """
        shown = _UntilCall(on_text, self._form if tools else None)
        answer = stream_answer(
            self._model.llm,
            self._model.tokenizer,
            messages,
            shown.push,
            stop_words=(*self._model.stop_words, *stop),
            settings=self._settings,
            tools=tools,
        )
        shown.finish()
        return reply_of(answer, self._form if tools else None)


def reply_of(answer: Answer, form: CallForm | None) -> Reply:
    """Say what a model's answer is to an agent.

    Args:
        answer: what it wrote.
        form: of its calls; None where it has no tools.
    """
    written = answer.written
    if form is None:
        message: Message = {"role": "assistant", "content": answer.text}
        return Reply(message, written, ended_by=answer.ended_by)
    try:
        text, calls = form.read(written)
    except MalformedCall as error:
        message = message_with(answer.text)
        return Reply(message, written, malformed=str(error), ended_by=answer.ended_by)
    message = message_with(text, calls) if calls else message_with(answer.text)
    return Reply(message, written, ended_by=answer.ended_by)


class _UntilCall:
    """Passes text on up to where a call begins; what may be a beginning waits for what follows."""

    _WAITS = 40  # characters after which a '<' is none

    def __init__(self, on_text: Callable[[str], None], form: CallForm | None) -> None:
        self._on_text = on_text
        self._form = form
        self._held = ""
        self._begun = False

    def push(self, piece: str) -> None:
        if self._form is None:
            self._on_text(piece)
        if self._form is None or self._begun:
            return
        self._held += piece
        if found := self._form.opens.search(self._held):
            self._held, self._begun = self._held[: found.start()].rstrip(), True
            self.finish()
            return
        waits = len(self._held) - self._WAITS
        marks = [at for at, letter in enumerate(self._held) if letter in "<[{" and at > waits]
        cut = min(marks, default=len(self._held))
        if cut:
            self._on_text(self._held[:cut])
            self._held = self._held[cut:]

    def finish(self) -> None:
        if self._held:
            self._on_text(self._held)
        self._held = ""
