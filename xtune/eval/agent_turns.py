"""Many agents, one model: each agent waits in its thread, and all that wait are one batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from xtune.agents.local import LocalModel
from xtune.generation.generate import answer_prompts, prompt_ids
from xtune.generation.model import ChatModel
from xtune.generation.reply import Reply, reply_of
from xtune.generation.settings import GenerationSettings
from xtune.parallel.in_step import agree
from xtune.structures import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["TogetherModel"]


class TogetherModel(LocalModel):
    """A model that answers when every agent that is left has asked; see `AgentModel`.

    Args:
        llm: a causal language model.
        tokenizer: has a chat template.
        count: agents that will ask; each calls `leave` when it has done.
        stop_words: the template's own.
        max_new_tokens: of an answer.
        together: all processes of a run do this with a model that they share, each with agents of
            its own, or none.
    """

    def __init__(
        self,
        llm: Any,
        tokenizer: PreTrainedTokenizerBase,
        *,
        count: int,
        stop_words: Sequence[str] = (),
        max_new_tokens: int,
        together: bool = False,
    ) -> None:
        loaded = ChatModel(llm=llm, tokenizer=tokenizer, stop_words=tuple(stop_words))
        settings = GenerationSettings(max_new_tokens=max_new_tokens, temperature=0.0)
        super().__init__(loaded, settings)
        self._reads = loaded.call_form
        self._left = count
        self._together = together
        self._asked: list[_Question] = []
        self._changed = threading.Condition()
        self._broken: BaseException | None = None

    def answer(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]],
        on_text: Callable[[str], None],
        *,
        stop: Sequence[str] = (),
    ) -> Reply:
        """Wait for the batch that this dialogue is answered in.

        Args: as `AgentModel.answer`.
        """
        question = _Question(list(messages), list(tools), tuple(stop))
        with self._changed:
            if self._broken is None:
                self._asked.append(question)
                self._changed.notify_all()
                self._changed.wait_for(lambda: question.reply or self._broken)
        if question.reply is None:
            raise RuntimeError("the batch was not answered") from self._broken
        return question.reply

    def leave(self) -> None:
        """Ask no more."""
        with self._changed:
            self._left -= 1
            self._changed.notify_all()

    def serve(self) -> None:
        """Answer batches, in this thread, until every agent of every process has left."""
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: len(self._asked) >= self._left)
                    batch, self._asked = self._asked, []
                if not (agree(len(batch)) if self._together else batch):
                    return
                self._answer(batch)
                with self._changed:
                    self._changed.notify_all()
        except BaseException as error:
            with self._changed:
                self._broken = error
                self._changed.notify_all()
            raise

    def _answer(self, batch: list[_Question]) -> None:
        # all agents have the same tools and the same form
        tools, stop = (batch[0].tools, batch[0].stop) if batch else ([], ())
        tokenizer = self._model.tokenizer
        answers = answer_prompts(
            self._model.llm,
            tokenizer,
            [prompt_ids(tokenizer, each.messages, tools) for each in batch],
            stop_words=(*self._model.stop_words, *stop),
            batch_size=len(batch),
            max_new_tokens=self._settings.max_new_tokens,
            together=self._together,
        )
        for question, answer in zip(batch, answers, strict=True):
            question.reply = reply_of(answer, self._reads if question.tools else None)


class _Question:
    def __init__(
        self, messages: list[Message], tools: list[dict[str, Any]], stop: tuple[str, ...]
    ) -> None:
        self.messages, self.tools, self.stop = messages, tools, stop
        self.reply: Reply | None = None
