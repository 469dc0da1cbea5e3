"""How many tokens a row may have: what fits the memory that is free now.

While a run is trained, its optimizer and gradients are there too, so that what is free is asked for
anew by each `Scorer`. A forward pass without gradients holds a few tensors of one layer, and one
chunk of logits, which is the same however long the row is.
"""

from __future__ import annotations

from typing import Any

import torch

from xtune.models import base_of
from xtune.planning.requirement import place_of

__all__ = ["budget_of", "require_room", "smaller"]

_MOST = {"cpu": 2048, "cuda": 16384}  # tokens; longer rows share little more
_LEAST = 128
_SHARE = 0.5  # of what is free, for a row
_GIB = 2**30


def budget_of(llm: Any) -> int:
    """Return how many tokens a row may have.

    Args:
        llm: where it is run, with all that is there next to it.
    """
    device = llm.get_input_embeddings().weight.device
    most = _MOST.get(device.type, _MOST["cpu"])
    free = _free_bytes(device)
    if free is None:
        return most
    return int(max(_LEAST, min(most, _SHARE * free / bytes_per_token(llm))))


def bytes_per_token(llm: Any) -> float:
    """Return what a token of a row needs while a layer runs, on the safe side.

    Args:
        llm: a causal language model.
    """
    base = base_of(llm)
    config = base.config.get_text_config()
    width = config.hidden_size
    inner = getattr(config, "intermediate_size", None) or 4 * width
    inner = max(inner, getattr(config, "moe_intermediate_size", None) or 0)
    experts = getattr(config, "num_experts_per_tok", None) or 1
    heads = getattr(config, "num_attention_heads", None) or 1
    head = getattr(config, "head_dim", None) or width // heads
    numbers = 8 * width + 4 * inner * experts + 8 * heads * head
    return float(4 * numbers)  # norms and a CPU's attention are in fp32


def require_room(llm: Any, tokens: int) -> None:
    """Take the memory that a row needs, and give it back: better no room now than amid a pass.

    Args:
        llm: on whose device.
        tokens: of the row.

    Raises:
        torch.OutOfMemoryError: there is too little, of a GPU's.
    """
    device = llm.get_input_embeddings().weight.device
    if device.type == "cuda":
        torch.empty(int(tokens * bytes_per_token(llm)), dtype=torch.uint8, device=device)


def smaller(budget: int, tokens: int) -> int:
    """Return the budget after a row of so many tokens has not fitted.

    Args:
        budget: until now.
        tokens: of the row.
    """
    return min(budget, tokens) // 2  # at last each row has one text


def _free_bytes(device: torch.device) -> float | None:
    if device.type == "cuda":
        left, _ = torch.cuda.mem_get_info(device)
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(left + held)
    gib = place_of(device).gib
    return None if gib is None else gib * _GIB
