"""Rows that begin together and end together, by transformers' own loop and its own caches.

For models whose caches rows cannot join, and for the one answer that somebody watches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from xtune.generation.cache_form import CacheForm, PromptCache
from xtune.generation.row import Row, next_tokens
from xtune.parallel.progress import beat

__all__ = ["answer_together"]


def answer_together(
    llm: Any,
    rows: Sequence[Row],
    pad_id: int,
    *,
    on_text: Callable[[str], None] | None = None,
    together: bool = False,
    form: CacheForm | None = None,
) -> None:
    """Write the answers of some rows, in one left-padded batch.

    Args:
        llm: a causal language model in generation mode.
        rows: B of them; none where only other processes have some.
        pad_id: any token's; padding is masked.
        on_text: given what may be shown; of a single row.
        together: processes that share the model make the same passes.
        form: how keys and values are held, of a model that keeps no other; None: as the model's
            own cache does.
    """
    device = llm.get_input_embeddings().weight.device
    prompts = [row.prompt for row in rows] or [(pad_id,)]
    longest = max(map(len, prompts))
    ids = [[pad_id] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    watch = _Watch(rows, on_text)
    llm.generate(
        input_ids=torch.tensor(ids, device=device),
        attention_mask=torch.tensor(mask, device=device),
        generation_config=GenerationConfig(
            max_new_tokens=max((row.settings.max_new_tokens for row in rows), default=1),
            pad_token_id=pad_id,
            use_cache=True,  # SmolLM3's config says False, as it was left after training
            # Neutral values, so that no defaults of the checkpoint's own are taken for ours; `rows`
            # say which token is next.
            do_sample=False,
            temperature=1.0,
            top_p=1.0,
            top_k=50,
            repetition_penalty=1.0,
        ),
        logits_processor=LogitsProcessorList([_Chosen(rows, pad_id)]),
        stopping_criteria=StoppingCriteriaList([watch]),
        synced_gpus=together,
        **({} if form is None else {"past_key_values": PromptCache(form)}),
    )


class _Chosen(LogitsProcessor):
    """Leaves of the logits [B, V] the token that each row chooses; of rows that are done, any."""

    def __init__(self, rows: Sequence[Row], pad_id: int) -> None:
        self._rows = rows
        self._pad_id = pad_id

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        chosen = [self._pad_id] * len(scores)
        going = [at for at, row in enumerate(self._rows) if not row.done]
        if going:
            tokens = next_tokens(scores[going], [self._rows[at] for at in going])
            for at, token in zip(going, tokens, strict=True):
                chosen[at] = token
        only = torch.full_like(scores, -torch.inf)
        only[torch.arange(len(chosen)), chosen] = 0
        return only


class _Watch(StoppingCriteria):
    """Feeds each new token to its row, and ends the rows whose answer has ended."""

    def __init__(self, rows: Sequence[Row], on_text: Callable[[str], None] | None) -> None:
        self._rows = rows
        self._on_text = on_text

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        beat()  # a training run may be waiting for this process
        for row, token in zip(self._rows, input_ids[:, -1].tolist(), strict=False):
            if row.done:
                continue
            shown = row.push(token)
            if shown and self._on_text is not None:
                self._on_text(shown)
        done = [row.done for row in self._rows] or [True]
        return torch.tensor(done, dtype=torch.bool, device=input_ids.device)
