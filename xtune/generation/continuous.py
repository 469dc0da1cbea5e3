"""Many answers at once: a row that ends makes room for the next prompt, live_rows.py.

What comes out is what each prompt alone would get, at any number of slots: see `Row`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from xtune.generation.answer import Answer
from xtune.generation.cache_form import bytes_per_token
from xtune.generation.forward import ModelForward
from xtune.generation.live_rows import LiveRows
from xtune.generation.plain_batch import answer_together
from xtune.generation.requests import GenerationRequest, Text
from xtune.generation.room import context_length, require_fit
from xtune.generation.row import Row
from xtune.generation.row_cache import frequencies_change, rows_may_join
from xtune.generation.settings import GenerationSettings
from xtune.generation.stopping import stop_ids_and_words
from xtune.models import generation_mode
from xtune.parallel.in_step import agree

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["free_memory", "generate_texts", "pad_id_of", "write_answers"]

_MOST_SLOTS = 64  # at 32 rows a processor multiplies by the head at three quarters of its speed


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
    with generation_mode(llm, alike=True):
        if rows_may_join(llm, reach):
            forward = ModelForward(llm, device, together=together)
            live = LiveRows(forward, device, pad_id, slots=slots, from_start=forward.from_start)
            _answer_all(live, rows, report, may_halve=not together)
            forward.wait_for_the_others()
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


def free_memory(device: torch.device) -> int:
    """Bytes that are free now, on a GPU or in this machine."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _answer_all(
    live: LiveRows,
    rows: Sequence[Row],
    report: Callable[[Sequence[int]], None],
    *,
    may_halve: bool,
) -> None:
    """Answer rows; where a GPU has too little memory for the slots, with half as many."""
    numbers = {id(row): at for at, row in enumerate(rows)}
    # in alphabetical order, so that neighbours begin alike
    live.add(sorted(rows, key=lambda row: row.prompt))
    while live.busy:
        short = False
        try:
            ended = live.step()
        except torch.OutOfMemoryError:
            # the others' passes cannot be taken back; one row cannot be halved
            if not may_halve or live.slots == 1:
                raise
            short = True
        if short:  # here, for the exception holds what the pass has left
            live.slots //= 2
            live.add(live.give_back())
            torch.cuda.empty_cache()
        elif ended:
            for row in ended:
                row.answer.finish()
            report([numbers[id(row)] for row in ended])


def _slots(llm: Any, longest: int, device: torch.device) -> int:
    """How many rows of `longest` tokens have their keys and values in half of the free memory."""
    row = bytes_per_token(llm) * max(longest, 1)
    return int(max(1, min(_MOST_SLOTS, free_memory(device) / 2 // row)))


def _text(row: Row) -> Text:
    return Text(row.answer.text, row.answer.ended_by, row.answer.tokens)
