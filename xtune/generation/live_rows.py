"""The rows that are being answered: one that ends makes room for the next, between two tokens.

    slot 0   aaaaaaaa|eeeee
    slot 1   bbb|cccccccccccc         a batch of fixed rows would wait for its longest answer
    slot 2   ddddddddddd|fff

An evaluation gives all its rows at once; a server adds them as clients ask.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from xtune.generation.cache_form import CacheForm, Whole
from xtune.generation.row import Row, next_tokens
from xtune.generation.row_cache import RowCache
from xtune.generation.shared_prefix import Forward, PromptReader, shared_length

__all__ = ["LiveRows"]

_LONGEST_PASS = 4096  # tokens of prompts that begin together; what a pass holds grows with them
_NOTED = 256  # tokens of a prompt whose distributions are held at once
_PASS = 64  # tokens whose computation costs about as much as one pass more


class LiveRows:
    """Rows in slots, and those that wait for one.

    Args:
        forward: a pass of the model over new columns; see `shared_prefix.py`.
        device: where the model's embedding is.
        pad_id: any token's; padding is masked.
        slots: rows at once, at most.
        prompt_tokens: of prompts are computed between two tokens of an answer, at most, so that a
            long prompt does not stall the others; None: those of all rows that find a slot.
        kept_tokens: of prompts and answers that have ended are kept, for prompts that begin with
            them; of what was read last, all are.
        form: how keys and values are held.
        from_start: the model's attention is that of attention/alike.py; see `RowCache`.

    Attributes:
        slots: may be changed between two steps.
    """

    def __init__(
        self,
        forward: Forward,
        device: torch.device,
        pad_id: int,
        *,
        slots: int,
        prompt_tokens: int | None = None,
        kept_tokens: int = 0,
        form: CacheForm | None = None,
        from_start: bool = False,
    ) -> None:
        self.slots = slots
        self._forward = forward
        self._device = device
        self._pad_id = pad_id
        self._prompt_tokens = prompt_tokens
        self._longest_pass = min(_LONGEST_PASS, prompt_tokens or _LONGEST_PASS)
        self._kept_tokens = kept_tokens
        self._form = form or Whole()
        self._from_start = from_start
        self._waiting: deque[Row] = deque()
        self._ended: list[Row] = []  # kept where a pass fails: the next step returns them
        self._empty()

    def _empty(self) -> None:
        self._live: list[Row | None] = []  # the row in each slot; None: it has ended
        self._cache = self._new_cache()
        self._reader = PromptReader(
            self._forward,
            self._device,
            self._pad_id,
            kept_tokens=self._kept_tokens,
            form=self._form,
        )

    def _new_cache(self) -> RowCache:
        return RowCache(self._form, from_start=self._from_start)

    @property
    def busy(self) -> bool:
        """Whether any row lives or waits."""
        return bool(self._waiting or self._live or self._ended)

    @property
    def count(self) -> int:
        """How many rows live or wait."""
        return len(self._waiting) + sum(row is not None for row in self._live)

    @property
    def longest(self) -> int:
        """Tokens of the longest row that lives or waits, as far as it is written."""
        rows = [*self._waiting, *(row for row in self._live if row is not None)]
        return max((len(row.ids) for row in rows), default=0)

    @property
    def cache_bytes(self) -> int:
        """What the keys and values of the rows that live take, their reserve included."""
        return self._cache.bytes

    @property
    def kept(self) -> int:
        """Tokens that are kept of what was read before."""
        return self._reader.kept

    def add(self, rows: Iterable[Row]) -> None:
        """Let rows wait for a slot; neighbours that begin alike are read together."""
        self._waiting.extend(rows)

    def step(self) -> list[Row]:
        """Read prompts that wait, write one token more of each answer; return rows that ended."""
        if left := [row for row in (*self._waiting, *self._live) if row is not None and row.done]:
            self._waiting = deque(row for row in self._waiting if not row.done)
            self._live = [None if row is None or row.done else row for row in self._live]
            self._ended += left
        self._join()
        self._write()
        ended, self._ended = self._ended, []
        return ended

    def give_back(self) -> list[Row]:
        """Give all rows that live back, to be added again: what they have written they keep."""
        begun = [row for row in self._live if row is not None]
        self._empty()
        return begun

    def give_back_one(self) -> Row | None:
        """Give back the row that is quickest to compute again; None where only one lives."""
        live = [at for at, row in enumerate(self._live) if row is not None]
        if len(live) < 2:
            return None
        at = min(live, key=lambda at: len(self._row(at).ids))
        row, self._live[at] = self._row(at), None
        return row

    def give_up(self) -> list[Row]:
        """Give all rows back, those too that have ended since the last step."""
        rows = [*self._ended, *self.give_back(), *self._waiting]
        self._ended, self._waiting = [], deque()
        return rows

    def _join(self) -> None:
        read = 0
        while self._waiting and self._live_count() < self.slots:
            if self._prompt_tokens is not None and read >= self._prompt_tokens:
                break
            if self._waiting[0].unread:
                read += self._reader.read_noting(self._waiting[0], min(self._longest_pass, _NOTED))
                if self._waiting[0].done:  # nothing is to be written
                    self._ended.append(self._waiting.popleft())
                continue
            self._note_known(self._waiting[0])
            if ahead := self._reader.read_ahead(self._waiting[0].ids, self._longest_pass):
                read += ahead
                continue
            batch, cost = self._alike(self.slots - self._live_count())
            read += cost
            for row in batch:
                self._note_known(row)
            free = [slot for slot, row in enumerate(self._live) if row is None]
            into = [*free, *range(len(self._live), self.slots)][: len(batch)]
            cache, logits = self._reader.read([tuple(row.ids) for row in batch])
            grown = max(len(self._live), max(into) + 1)
            self._cache.join(cache, [len(row.ids) for row in batch], into, grown)
            self._live += [None] * (grown - len(self._live))
            for slot, row in zip(into, batch, strict=True):
                self._live[slot] = self._waiting.popleft()
                assert self._live[slot] is row
            self._push(logits, into)
        staying = [slot for slot, row in enumerate(self._live) if row is not None]
        self._live = [self._live[slot] for slot in staying]
        if self._live:
            # a row's last token is not in the cache yet
            columns = max(len(self._row(slot).ids) for slot in range(len(self._live))) - 1
            self._cache.keep(staying, columns)
        else:
            self._cache = self._new_cache()

    def _alike(self, most: int) -> tuple[list[Row], int]:
        """The next that wait, as long as one pass for all costs no more than several."""
        batch: list[Row] = []
        longest = cost = known = 0
        for row in self._waiting:
            if row.unread:  # it is read alone
                break
            if not batch:
                longest, known = len(row.ids), self._reader.known(row.ids)
                cost = longest - known
            else:
                longest = max(longest, len(row.ids))
                shared = shared_length([batch[0].ids, row.ids])
                as_one = (len(batch) + 1) * (longest - shared) + max(0, shared - known)
                alike = max(shared_length([batch[-1].ids, row.ids]), self._reader.known(row.ids))
                apart = cost + len(row.ids) - alike
                if as_one > min(apart + _PASS, self._longest_pass):
                    break
                cost = as_one
            batch.append(row)
            if len(batch) == most:
                break
        return batch, cost

    def _write(self) -> None:
        """One token more for each row."""
        if not self._live:
            return
        rows = [self._row(slot) for slot in range(len(self._live))]
        lengths = torch.tensor([[len(row.ids)] for row in rows])  # with the token that goes in
        columns = int(lengths.max())
        if self._from_start:
            self._cache.write_to((lengths - 1)[:, 0].to(self._device))
            mask = torch.arange(columns) < lengths
        else:
            mask = torch.arange(columns) >= columns - lengths
        logits = self._forward(
            torch.tensor([row.ids[-1:] for row in rows], device=self._device),
            None if mask.all() else mask.long().to(self._device),
            (lengths - 1).to(self._device),
            self._cache,
        )
        self._push(logits, range(len(rows)))

    def _push(self, logits: Tensor, slots: Sequence[int]) -> None:
        """Give the rows in some slots their next token, of logits [len(slots), V]."""
        rows = [self._row(slot) for slot in slots]
        tokens = next_tokens(logits, rows)
        for slot, row, token in zip(slots, rows, tokens, strict=True):
            row.push(token)
            if row.done:
                if self._kept_tokens:
                    cached = row.ids[:-1]
                    self._reader.keep(tuple(cached), self._cache.row(slot, len(cached)))
                self._ended.append(row)
                self._live[slot] = None

    def _note_known(self, row: Row) -> None:
        if row.known is None:
            row.known = self._reader.known(row.ids)

    def _row(self, slot: int) -> Row:
        row = self._live[slot]
        assert row is not None
        return row

    def _live_count(self) -> int:
        return sum(row is not None for row in self._live)
