"""A judge that runs here: any model that `xtune chat` talks to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from xtune.errors import TemplateError
from xtune.eval.judge.base import Said
from xtune.eval.subject import weights_hash
from xtune.generation.generate import answer_prompts, prompt_ids
from xtune.generation.model import ChatModel

__all__ = ["LocalJudge"]

_PROBE = "xtune_probe_system"


class LocalJudge:
    """A loaded model as a judge; see `Judge`.

    Args:
        model: the model, its tokenizer and template.
        max_new_tokens: of a verdict.
        batch_size: rows at once.
    """

    def __init__(
        self, model: ChatModel, *, max_new_tokens: int = 1024, batch_size: int = 8
    ) -> None:
        self.name = model.name
        self.identity = f"{model.name} {weights_hash(model.llm)[:16]}"
        self._model = model
        self._max_new_tokens = max_new_tokens
        self._batch_size = batch_size

    @classmethod
    def load(cls, given: str, *, max_new_tokens: int, batch_size: int) -> LocalJudge:
        """Load a judge.

        Args:
            given: a hub id, a folder, a .gguf file, an alias, or a run's work_dir.
            max_new_tokens: of a verdict.
            batch_size: rows at once.

        Raises:
            UsageError: there is no such model, or it has no chat template.
            ModelError: it cannot be loaded.
        """
        model = ChatModel.load(given)
        return cls(model, max_new_tokens=max_new_tokens, batch_size=batch_size)

    def ask(
        self,
        dialogues: Sequence[list[dict[str, str]]],
        on_answer: Callable[[int, Said], None],
        *,
        temperature: float,
        seed: int,
    ) -> None:
        """Ask all of them, the longest first, in batches.

        Args: as `Judge.ask`.
        """
        prompts = [self._prompt(messages) for messages in dialogues]
        room = self._model.context
        fitting = []
        for place, prompt in enumerate(prompts):
            if room is not None and len(prompt) >= room:
                why = f"the prompt has {len(prompt)} tokens, the judge's context {room}"
                on_answer(place, Said(refused=why))
            else:
                fitting.append(place)
        fitting.sort(key=lambda place: len(prompts[place]), reverse=True)
        for start in range(0, len(fitting), self._batch_size):
            batch = fitting[start : start + self._batch_size]
            answers = answer_prompts(
                self._model.llm,
                self._model.tokenizer,
                [prompts[place] for place in batch],
                stop_words=self._model.stop_words,
                batch_size=self._batch_size,
                max_new_tokens=self._max_new_tokens,
                temperature=temperature,
                seed=seed,
            )
            for place, answer in zip(batch, answers, strict=True):
                on_answer(place, Said(answer.text, cut=answer.ended_by == "length"))

    def _prompt(self, messages: list[dict[str, str]]) -> list[int]:
        """Token ids; a system text that the template has no place for goes to the question."""
        dialogue: list[Any] = list(messages)
        if messages[0]["role"] == "system" and self._folds:
            text = f"{messages[0]['content']}\n\n{messages[1]['content']}"
            dialogue = [{"role": "user", "content": text}, *messages[2:]]
        return prompt_ids(self._model.tokenizer, dialogue)

    @cached_property
    def _folds(self) -> bool:
        """Whether the template refuses a system text, or drops it."""
        tokenizer = self._model.tokenizer
        asked: list[Any] = [
            {"role": "system", "content": _PROBE},
            {"role": "user", "content": "?"},
        ]
        try:
            return _PROBE not in str(tokenizer.decode(prompt_ids(tokenizer, asked)))
        except TemplateError:
            return True
