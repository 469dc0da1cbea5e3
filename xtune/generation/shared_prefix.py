"""What all prompts of a batch begin with is computed once: the system text and the tools, mostly.

The keys and values of the shared tokens are the same in every row, because a token sees only what
stands before it. So one row computes them, and the others get copies, shifted behind their padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache

from xtune.generation.growing_cache import growing_cache
from xtune.models import base_of

__all__ = ["computed_once"]

_WORTH_IT = 8  # tokens; a forward pass for fewer costs what it saves


@torch.no_grad()
def computed_once(
    llm: Any, prompts: Sequence[list[int]], device: torch.device
) -> DynamicCache | None:
    """Compute the keys and values of what all prompts begin with.

    Args:
        llm: a causal language model in generation mode, with a PEFT adapter or without.
        prompts: token ids of B prompts.
        device: where the model's embedding is.

    Returns:
        A cache of the first columns of the left-padded batch, for `generate`: as many as there
        are shared tokens. None where little is shared, and for models with a cache of their own
        kind: windows, states.
    """
    length = _common_prefix(prompts) if len(prompts) > 1 else 0
    if length < _WORTH_IT:
        return None
    cache = growing_cache(llm)
    if cache is None:
        return None
    shared = torch.tensor([prompts[0][:length]], device=device)
    # the backbone alone: nobody asks for these tokens' logits
    base_of(llm).base_model(input_ids=shared, past_key_values=cache, use_cache=True)
    longest = max(map(len, prompts))
    padding = torch.tensor([[longest - len(prompt)] for prompt in prompts], device=device)
    # a row's column c holds its token c - padding; what stands in padding is masked
    tokens = (torch.arange(length, device=device) - padding).clamp(min=0)  # [B, length]
    for layer in cache.layers:
        assert layer.keys is not None
        assert layer.values is not None
        layer.keys = layer.keys[0][:, tokens].transpose(0, 1).contiguous()
        layer.values = layer.values[0][:, tokens].transpose(0, 1).contiguous()
    return cache


def _common_prefix(prompts: Sequence[list[int]]) -> int:
    """How many tokens all prompts begin with, at most all but the last of the shortest."""
    first, last = min(prompts), max(prompts)  # what these two share, all between them share
    most = min(map(len, prompts)) - 1
    return next((at for at in range(most) if first[at] != last[at]), most)
