"""Rows of clients, and how those of one model are answered: all together, step by step."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch import Tensor

from xtune.generation.plain_batch import answer_together
from xtune.generation.row import Row
from xtune.serve.engine.questions import End, Event, Piece, Question, Read
from xtune.serve.served import ServedModel

__all__ = ["ClientRow", "Group", "PlainRows"]


class ClientRow(Row):
    """A row whose client is told of each token.

    Args:
        index: of the question.
        question: what is asked.
        model: that answers.
        room: tokens that the answer may have at most.
        on_event: told.
    """

    def __init__(
        self,
        index: int,
        question: Question,
        model: ServedModel,
        room: int,
        on_event: Callable[[Event], None],
    ) -> None:
        self.index = index
        self.asked_at = time.monotonic()
        self.question = question
        self.on_event = on_event
        super().__init__(
            question.prompt,
            lambda: model.new_answer(question.stop, question.stop_ids, is_chat=question.is_chat),
            dataclasses.replace(
                question.settings, max_new_tokens=min(question.settings.max_new_tokens, room)
            ),
            alternatives=question.alternatives,
            guide=None if question.new_guide is None else question.new_guide(),
            alpha=question.penalty_alpha,
            bias=dict(question.bias),
            reads=question.reads,
            writes=question.writes,
        )

    def push(self, token: int) -> str:
        """Take the answer's next token, and tell the client."""
        shown = super().push(token)
        self.on_event(Piece(self.index, token, shown, self.noted[-1] if self.noted else None))
        return shown

    def note_prompt(self, logits: Tensor) -> None:
        """Note how likely the prompt's next tokens were, and tell the client of all of them."""
        super().note_prompt(logits)
        if not self.unread:
            self.on_event(Read(self.index, tuple(self.read)))

    def end(self) -> End:
        """Return what the client is told at the end."""
        rest = self.answer.finish()
        return End(
            index=self.index,
            text=rest,
            ended_by=self.answer.ended_by,
            tokens=self.answer.tokens,
            known=self.known or 0,
            written=self.answer.written,
        )


class Group(Protocol):
    """The rows of one model; `LiveRows` is one."""

    slots: int

    @property
    def busy(self) -> bool:
        """Whether any row lives or waits."""

    @property
    def count(self) -> int:
        """How many do."""

    @property
    def longest(self) -> int:
        """Tokens of the longest."""

    @property
    def kept(self) -> int:
        """Tokens that are kept of what was read before."""

    def add(self, rows: Iterable[Any]) -> None:
        """Take rows in."""

    def step(self) -> list[Any]:
        """Go on; return rows that have ended."""

    def give_back(self) -> list[Any]:
        """Give all rows that live back."""

    def give_back_one(self) -> Any:
        """Give one row back, or None."""

    def give_up(self) -> list[Any]:
        """Give all rows back, those too that have ended since the last step."""


class PlainRows:
    """Rows of a model whose caches rows cannot join: a step answers those that wait, to the end.

    Args:
        llm: in generation mode.
        pad_id: any token's.
        slots: rows at once.
    """

    longest = 0
    kept = 0

    def __init__(self, llm: Any, pad_id: int, *, slots: int) -> None:
        self.slots = slots
        self._llm = llm
        self._pad_id = pad_id
        self._waiting: deque[ClientRow] = deque()
        self._begun: list[ClientRow] = []

    @property
    def busy(self) -> bool:
        """Whether any row waits."""
        return bool(self._waiting)

    @property
    def count(self) -> int:
        """How many do."""
        return len(self._waiting)

    def add(self, rows: Iterable[ClientRow]) -> None:
        """Take rows in."""
        self._waiting.extend(rows)

    def step(self) -> list[ClientRow]:
        """Answer as many as there are slots; return them."""
        batch = [self._waiting.popleft() for _ in range(min(self.slots, len(self._waiting)))]
        for row in batch:
            if row.unread and not row.done:
                ids = torch.tensor(
                    [row.prompt], device=self._llm.get_input_embeddings().weight.device
                )
                row.note_prompt(self._llm(input_ids=ids, use_cache=False).logits[0])
        going = [row for row in batch if not row.done]
        if going:
            self._begun = going
            answer_together(self._llm, going, self._pad_id)
            self._begun = []
        return batch

    def give_back(self) -> list[ClientRow]:
        """Give back what was being answered when a step failed."""
        rows, self._begun = self._begun, []
        return rows

    def give_back_one(self) -> None:
        """Nothing lives between two steps."""
        return

    def give_up(self) -> list[ClientRow]:
        """Give all rows back."""
        rows = [*self.give_back(), *self._waiting]
        self._waiting = deque()
        return rows
