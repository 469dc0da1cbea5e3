"""Many answers at once: a row that ends makes room for the next prompt.

    slot 0   aaaaaaaa|eeeee
    slot 1   bbb|cccccccccccc         a batch of fixed rows would wait for its longest answer
    slot 2   ddddddddddd|fff

What comes out is what each prompt alone would get, at any number of slots: see `Row`.
"""

from __future__ import annotations

import inspect
import os
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import DynamicCache

from xtune.generation.answer import Answer
from xtune.generation.plain_batch import answer_together
from xtune.generation.requests import GenerationRequest, Text
from xtune.generation.room import context_length, require_fit
from xtune.generation.row import Row, next_tokens
from xtune.generation.row_cache import RowCache, frequencies_change, rows_may_join
from xtune.generation.settings import GenerationSettings
from xtune.generation.shared_prefix import PromptReader, shared_length
from xtune.generation.stopping import stop_ids_and_words
from xtune.models import base_of, generation_mode
from xtune.parallel.in_step import agree
from xtune.parallel.progress import beat

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["generate_texts", "pad_id_of", "write_answers"]

_MOST_SLOTS = 64  # at 32 rows a processor multiplies by the head at three quarters of its speed
_LONGEST_PASS = 4096  # tokens of prompts that begin together
_PASS = 64  # tokens whose computation costs about as much as one pass more


def generate_texts(
    llm: Any,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[GenerationRequest],
    *,
    stop_words: Sequence[str] = (),
    slots: int | None = None,
    on_result: Callable[[int, Text], None] | None = None,
    together: bool = False,
) -> list[Text]:
    """Answer prompts of any task, each with a length, stop strings and dice of its own.

    The model comes back as it was: training mode, attention and cache settings, random state.

    Args:
        llm: a causal language model, with a PEFT adapter or without.
        tokenizer: that made the prompts.
        requests: what to answer.
        stop_words: strings that end any answer, besides the model's own end tokens.
        slots: rows at once; default: as many as fit into the memory that is free now, 64 at most.
            Where a GPU has too little for them they are halved.
        on_result: given the index of a request and its answer, as they come.
        together: all processes of a run do this with a model that they share, each with requests
            of its own, and none ends its part before the others; within `all_or_none`.

    Returns:
        One Text for each request, in their order.

    Raises:
        UsageError: a prompt fills the model's context.
        ModelError: a prompt has tokens that the model has not.
    """
    require_fit(llm, tokenizer, [request.prompt for request in requests])
    stop_ids, words = stop_ids_and_words(llm, tokenizer, stop_words)
    context = context_length(llm)
    rows = []
    for request in requests:
        new_answer = partial(
            Answer, tokenizer, stop_ids=stop_ids, stop_words=(*words, *request.stop)
        )
        room = request.max_new_tokens if context is None else context - len(request.prompt)
        settings = GenerationSettings(
            max_new_tokens=min(request.max_new_tokens, room),
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed,
        )
        rows.append(Row(request.prompt, new_answer, settings))

    def report(ended: Sequence[int]) -> None:
        if on_result is not None:
            for at in ended:
                on_result(at, _text(rows[at]))

    write_answers(
        llm, rows, pad_id_of(tokenizer, stop_ids), slots=slots, on_ended=report, together=together
    )
    return [_text(row) for row in rows]


def pad_id_of(tokenizer: PreTrainedTokenizerBase, stop_ids: Sequence[int]) -> int:
    """Return a token to pad with; any does, for padding is masked.

    Args:
        tokenizer: of the model.
        stop_ids: tokens that end an answer.
    """
    if tokenizer.pad_token_id is not None:
        return int(tokenizer.pad_token_id)
    return stop_ids[0] if stop_ids else 0


def write_answers(
    llm: Any,
    rows: Sequence[Row],
    pad_id: int,
    *,
    slots: int | None = None,
    on_ended: Callable[[Sequence[int]], None] | None = None,
    together: bool = False,
) -> None:
    """Write the answers of all rows.

    Args:
        llm: as for `generate_texts`, and so are `slots` and `together`.
        rows: what to answer.
        pad_id: a token to pad with.
        slots: rows at once.
        on_ended: given the indices of the rows that a pass has ended.
        together: all processes make as many passes as the one with the most.
    """
    device = llm.get_input_embeddings().weight.device
    longest = max((len(row.prompt) + row.settings.max_new_tokens for row in rows), default=0)
    slots = slots or _slots(llm, longest, device)
    report = on_ended or (lambda ended: None)
    # processes that share a model must agree, even where one of them has no rows
    reach = (context_length(llm) or longest) if together else longest
    with generation_mode(llm):
        if rows_may_join(llm, reach):
            _Slots(llm, rows, device, pad_id, slots, report, together=together).run()
            return
        size = 1 if frequencies_change(llm, reach) else slots
        order = sorted(range(len(rows)), key=lambda at: len(rows[at].prompt), reverse=True)
        count = -(-len(rows) // size)
        for number in range(agree(count) if together else count):
            if together:
                agree()
            batch = order[number * size : (number + 1) * size]
            answer_together(llm, [rows[at] for at in batch], pad_id, together=together)
            for at in batch:
                rows[at].answer.finish()
            report(batch)


class _Slots:
    """The rows that are being answered, and those that wait."""

    def __init__(
        self,
        llm: Any,
        rows: Sequence[Row],
        device: torch.device,
        pad_id: int,
        slots: int,
        on_ended: Callable[[Sequence[int]], None],
        *,
        together: bool,
    ) -> None:
        self._forward = _Forward(llm, device, together=together)
        self._rows = rows
        self._device = device
        self._pad_id = pad_id
        self._slots = slots
        self._on_ended = on_ended
        self._together = together
        # in alphabetical order, so that neighbours begin alike
        self._waiting = deque(sorted(range(len(rows)), key=lambda at: rows[at].prompt))
        self._empty()

    def _empty(self) -> None:
        self._live: list[int | None] = []  # the row in each slot; None: it has ended
        self._cache = RowCache()
        self._reader = PromptReader(self._forward, self._device, self._pad_id)

    def run(self) -> None:
        """Answer all rows."""
        while self._waiting or self._live:
            short = False
            try:
                self._join()
                self._step()
            except torch.OutOfMemoryError:
                # the others' passes cannot be taken back; one row cannot be halved
                if self._together or self._slots == 1:
                    raise
                short = True
            if short:  # here, for the exception holds what the pass has left
                self._begin_again_with_half()
        self._forward.wait_for_the_others()

    def _begin_again_with_half(self) -> None:
        self._slots //= 2
        begun = sorted(at for at in self._live if at is not None)
        for at in begun:
            self._rows[at].begin()
        self._waiting.extendleft(sorted(begun, key=lambda at: self._rows[at].prompt, reverse=True))
        self._empty()
        torch.cuda.empty_cache()

    def _join(self) -> None:
        while self._waiting and self._live_count() < self._slots:
            batch = self._alike(self._slots - self._live_count())
            free = [slot for slot, at in enumerate(self._live) if at is None]
            into = [*free, *range(len(self._live), self._slots)][: len(batch)]
            cache, logits = self._reader.read([self._rows[at].prompt for at in batch])
            grown = max(len(self._live), max(into) + 1)
            self._cache.join(cache, into, grown)
            self._live += [None] * (grown - len(self._live))
            for slot, at in zip(into, batch, strict=True):
                self._live[slot] = self._waiting.popleft()
                assert self._live[slot] == at
            self._push(logits, into)
        staying = [slot for slot, at in enumerate(self._live) if at is not None]
        self._live = [self._live[slot] for slot in staying]
        if self._live:
            # a row's last token is not in the cache yet
            self._cache.keep(staying, max(len(row.ids) - 1 for row in self._live_rows()))
        else:
            self._cache = RowCache()

    def _alike(self, most: int) -> list[int]:
        """The next that wait, as long as one pass for all costs no more than several."""
        batch: list[int] = []
        longest = cost = 0
        for at in self._waiting:
            prompt = self._rows[at].prompt
            if not batch:
                longest = cost = len(prompt)
            else:
                first, last = self._rows[batch[0]].prompt, self._rows[batch[-1]].prompt
                longest = max(longest, len(prompt))
                shared = shared_length([first, prompt])
                as_one = (len(batch) + 1) * (longest - shared) + shared
                apart = cost + len(prompt) - shared_length([last, prompt])
                if as_one > min(apart + _PASS, _LONGEST_PASS):
                    break
                cost = as_one
            batch.append(at)
            if len(batch) == most:
                break
        return batch

    def _step(self) -> None:
        """One token more for each row."""
        rows = self._live_rows()
        if not rows:
            return
        lengths = torch.tensor([[len(row.ids)] for row in rows])  # with the token that goes in
        columns = int(lengths.max())
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
        indices = [at for slot in slots if (at := self._live[slot]) is not None]
        tokens = next_tokens(logits, [self._rows[at] for at in indices])
        ended = []
        for slot, at, token in zip(slots, indices, tokens, strict=True):
            row = self._rows[at]
            row.push(token)
            if row.done:
                row.answer.finish()
                ended.append(at)
                self._live[slot] = None
        if ended:
            self._on_ended(ended)

    def _live_rows(self) -> list[Row]:
        return [self._rows[at] for at in self._live if at is not None]

    def _live_count(self) -> int:
        return sum(at is not None for at in self._live)


class _Forward:
    """A pass of the model; where processes share it, all make one or none does."""

    def __init__(self, llm: Any, device: torch.device, *, together: bool) -> None:
        self._llm = llm
        self._device = device
        self._together = together
        base = base_of(llm)
        self._takes_positions = _takes(base, "position_ids")
        self._further: dict[str, Any] = (
            {"logits_to_keep": 1} if _takes(base, "logits_to_keep") else {}
        )

    def __call__(
        self, ids: Tensor, mask: Tensor | None, positions: Tensor, cache: DynamicCache | RowCache
    ) -> Tensor:
        """Return the logits after the last of the new tokens, [S, V]; see `shared_prefix.py`."""
        beat()  # a training run may be waiting for this process
        self._somebody_works(True)
        further = self._further | ({"position_ids": positions} if self._takes_positions else {})
        said = self._llm(
            input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, **further
        )
        return said.logits[:, -1]

    def wait_for_the_others(self) -> None:
        """Take part in the passes of the processes that are not done yet."""
        nothing = torch.zeros((1, 1), dtype=torch.long, device=self._device)
        while self._somebody_works(False):
            beat()
            self._llm(input_ids=nothing, use_cache=False, **self._further)

    def _somebody_works(self, mine: bool) -> bool:
        if not self._together:
            return False
        return bool(agree(int(mine)))


def _takes(base: Any, name: str) -> bool:
    return name in inspect.signature(base.forward).parameters


def _slots(llm: Any, longest: int, device: torch.device) -> int:
    """How many rows of `longest` tokens have their keys and values in half of the free memory."""
    config = base_of(llm).config.get_text_config(decoder=True)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    number = llm.get_input_embeddings().weight.element_size()
    row = 2 * config.num_hidden_layers * heads * width * number * max(longest, 1)
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    else:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(max(1, min(_MOST_SLOTS, free / 2 // row)))


def _text(row: Row) -> Text:
    return Text(row.answer.text, row.answer.ended_by, row.answer.tokens)
