"""A row of a batch: a prompt, how its answer is sampled, and the answer as far as it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from xtune.generation.answer import Answer
from xtune.generation.settings import GenerationSettings

__all__ = ["Row", "next_tokens"]


class Row:
    """One prompt on its way to an answer.

    Its answer is a function of the model, the prompt and the settings, whatever rows are computed
    next to it: the dice are its own. (A sum of floating-point numbers in another order may differ
    in its last bits; only a tie of two tokens within these would show it.)

    Args:
        prompt: token ids, at least one.
        new_answer: makes the empty Answer that the row fills.
        settings: with a seed, unless the temperature is 0.

    Attributes:
        answer: what is written so far.
        ids: the prompt, and all tokens of the answer.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        new_answer: Callable[[], Answer],
        settings: GenerationSettings,
    ) -> None:
        self.prompt = tuple(prompt)
        self.settings = settings
        self._new_answer = new_answer
        self.begin()

    def begin(self) -> None:
        """Forget what was written: the same will come again."""
        self.answer = self._new_answer()
        self.ids = list(self.prompt)
        self._said: Tensor | None = None
        self._dice: torch.Generator | None = None

    @property
    def done(self) -> bool:
        """Whether the answer has ended or has all the tokens that it may have."""
        return self.answer.ended or self.answer.tokens >= self.settings.max_new_tokens

    def push(self, token: int) -> str:
        """Take the answer's next token; return the text that may be shown now."""
        self.ids.append(token)
        if self._said is not None:
            self._said[token] = True
        return self.answer.push(token)

    def throw(self) -> float:
        """Throw the row's own dice: at least 0, below 1."""
        if self._dice is None:
            assert self.settings.seed is not None
            self._dice = torch.Generator().manual_seed(self.settings.seed)
        return torch.rand((), generator=self._dice, dtype=torch.float64).item()

    def said(self, logits: Tensor) -> Tensor:
        """Which tokens stand in the prompt or the answer: bool [V], where `logits` [V] are."""
        if self._said is None:
            self._said = torch.zeros_like(logits, dtype=torch.bool)
            self._said[torch.tensor(self.ids, device=logits.device)] = True
        return self._said


def next_tokens(logits: Tensor, rows: Sequence[Row]) -> list[int]:
    """Choose each row's next token by its settings.

    Args:
        logits: of the next token, [S, V].
        rows: S of them; those that sample throw their dice once.
    """
    logits = logits.float()
    for at, row in enumerate(rows):
        penalty = row.settings.repetition_penalty
        if penalty != 1:
            raw = logits[at]
            less = torch.where(raw < 0, raw * penalty, raw / penalty)
            logits[at] = torch.where(row.said(raw), less, raw)
    chosen = logits.argmax(-1)
    sampled = [at for at, row in enumerate(rows) if row.settings.temperature > 0]
    if sampled:
        where = torch.tensor(sampled, device=logits.device)
        chosen[where] = _drawn(logits[where], [rows[at] for at in sampled])
    return chosen.tolist()


def _drawn(logits: Tensor, rows: Sequence[Row]) -> Tensor:
    """Draw a token for each row: int64 [S]; `logits` are fp32 [S, V]."""

    def column(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=logits.device)[:, None]

    ranked, tokens = logits.double().sort(dim=-1, descending=True, stable=True)
    ranked = ranked / column([row.settings.temperature for row in rows])
    most = column([row.settings.top_k or logits.shape[1] for row in rows])
    ranked = ranked.masked_fill(
        torch.arange(logits.shape[1], device=logits.device) >= most, -torch.inf
    )
    shares = ranked.softmax(-1)
    before = shares.cumsum(-1) - shares  # what the likelier ones have together
    shares = shares.masked_fill(before >= column([row.settings.top_p for row in rows]), 0)
    sums = shares.cumsum(-1)
    thrown = column([row.throw() for row in rows]) * sums[:, -1:]
    place = torch.searchsorted(sums, thrown, right=True).clamp(max=logits.shape[1] - 1)
    return tokens.gather(1, place)[:, 0]
