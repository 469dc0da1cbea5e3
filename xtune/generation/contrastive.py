"""Contrastive search (Su et al., 2022): likely tokens, of which one is taken that repeats least.

Each of the K likeliest tokens is tried, and the one with the best

    (1 - alpha) * its probability - alpha * the largest cosine of its state with an earlier one

is taken, where states are those of the last layer. No dice are thrown. A token costs a pass over K
rows. Shapes: K candidates, T tokens so far, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import DynamicCache

from xtune.generation.row import Row

__all__ = ["ContrastiveRows"]

_LONGEST_PASS = 4096  # tokens of a prompt that are computed at once


class ContrastiveRows:
    """Rows that are answered by contrastive search, each by passes of its own.

    Args:
        llm: a causal language model in generation mode that keeps keys and values of each token.
        device: where its embedding is.
        slots: rows at once.
    """

    kept = 0

    def __init__(self, llm: Any, device: torch.device, *, slots: int) -> None:
        self.slots = slots
        self._llm = llm
        self._device = device
        self._rows: list[Row] = []
        self._states: dict[int, _State] = {}

    @property
    def busy(self) -> bool:
        """Whether there are any rows."""
        return bool(self._rows)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    @property
    def longest(self) -> int:
        """Tokens whose keys and values the longest row holds while its candidates are tried."""
        return max((len(row.ids) * (row.settings.top_k + 1) for row in self._rows), default=0)

    def add(self, rows: Iterable[Row]) -> None:
        """Take rows in that have an alpha; their `top_k` says how many tokens are tried."""
        self._rows += rows

    def step(self) -> list[Row]:
        """Write a token of each answer; return rows that have ended."""
        for row in self._rows:
            if not row.done:
                self._write(row)
        ended = [row for row in self._rows if row.done]
        self._rows = [row for row in self._rows if not row.done]
        for row in ended:
            self._states.pop(id(row), None)
        return ended

    def give_up(self) -> list[Row]:
        """Give all rows back."""
        rows, self._rows, self._states = self._rows, [], {}
        return rows

    def give_back(self) -> list[Row]:
        """Give all rows back, to be added again."""
        return self.give_up()

    def give_back_one(self) -> None:
        """Rows are computed one by one: fewer of them need no less memory at once."""
        return

    def _write(self, row: Row) -> None:
        alpha = row.alpha
        assert alpha is not None
        state = self._states.get(id(row))
        if state is None:
            state = self._states[id(row)] = self._read(row)
        shares, candidates = state.logits.float().softmax(-1).topk(row.settings.top_k)
        count = len(candidates)
        cache = state.cache
        cache.batch_repeat_interleave(count)
        positions = torch.full((count, 1), len(row.ids), device=self._device)
        logits, states = self._pass(candidates[:, None], positions, cache)  # [K, V], [K, 1, D]
        own = normalize(states[:, 0].float(), dim=-1)
        alike = (own @ state.states.T).amax(-1)  # [K]
        best = int(((1 - alpha) * shares - alpha * alike).argmax())
        cache.batch_select_indices(torch.tensor([best], device=self._device))
        if row.alternatives is not None:
            row.note(state.logits.float(), int(candidates[best]))
        state.logits = logits[best]
        state.states = torch.cat([state.states, own[best : best + 1]])
        row.push(int(candidates[best]))

    def _read(self, row: Row) -> _State:
        cache, states = DynamicCache(), []
        for start in range(0, len(row.ids), _LONGEST_PASS):
            piece = torch.tensor([row.ids[start : start + _LONGEST_PASS]], device=self._device)
            positions = torch.arange(start, start + piece.shape[1], device=self._device)[None]
            logits, new = self._pass(piece, positions, cache)
            states.append(normalize(new[0].float(), dim=-1))
        row.known = 0
        return _State(cache, logits[0], torch.cat(states))

    def _pass(self, ids: Tensor, positions: Tensor, cache: DynamicCache) -> tuple[Tensor, Tensor]:
        """Return logits after the last token, [S, V], and the last layer's states, [S, T, D]."""
        said = self._llm(
            input_ids=ids,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            output_hidden_states=True,
        )
        return said.logits[:, -1], said.hidden_states[-1]


class _State:
    """What is known of a row: its cache, the next token's logits [V], and its states [T, D]."""

    def __init__(self, cache: DynamicCache, logits: Tensor, states: Tensor) -> None:
        self.cache = cache
        self.logits = logits
        self.states = states
