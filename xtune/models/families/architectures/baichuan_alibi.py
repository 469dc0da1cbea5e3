"""Baichuan 13B and Baichuan 2 13B: Llama's layers with ALiBi in place of a rotary embedding.

Press et al. 2021: the score of a query for a key falls by slope x distance, a slope a head. For a
softmax over the keys of one query, slope x key position is the same.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaAttention

from xtune.models.families.architectures.baichuan import (
    BaichuanForCausalLM,
    split_w_pack,
)
from xtune.models.families.architectures.conversions import converts

__all__ = ["BaichuanAlibiForCausalLM", "alibi_slopes"]


def alibi_slopes(heads: int) -> Tensor:
    """Return the slope of each head, fp32 [heads].

    For a power of two 2^(-8 i / heads), i = 1 … heads. Else those of the next lower power of two,
    then every other one of the next higher.

    >>> [round(float(slope.log2()), 3) for slope in alibi_slopes(6)]
    [-2.0, -4.0, -6.0, -8.0, -1.0, -3.0]
    """
    lower = 2 ** math.floor(math.log2(heads))

    def geometric(count: int) -> list[float]:
        return [2 ** (-8 * i / count) for i in range(1, count + 1)]

    return torch.tensor(geometric(lower) + geometric(2 * lower)[0::2][: heads - lower])


class _NoRotation(nn.Module):
    """Cosines of one and sines of zero: positions turn nothing."""

    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """[1, 1, 1] each; they broadcast."""
        one = torch.ones(1, 1, 1, dtype=x.dtype, device=x.device)
        return one, torch.zeros_like(one)


class _AlibiAttention(LlamaAttention):
    """Adds the bias to the mask that transformers made, or names the slopes where there is none."""

    def forward(  # type: ignore[override]
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        **kwargs: Any,
    ) -> Any:
        slopes = alibi_slopes(self.config.num_attention_heads).to(hidden_states.device)
        # xtune's attention of documents or of a tree makes the bias itself
        if "document_lengths" in kwargs or "tree" in kwargs:
            kwargs["alibi_slopes"] = slopes
        else:
            before = past_key_values.get_seq_length(self.layer_idx) if past_key_values else 0
            attention_mask = _biased(attention_mask, slopes, hidden_states, before)
        return super().forward(
            hidden_states, attention_mask=attention_mask, past_key_values=past_key_values, **kwargs
        )


def _biased(mask: Tensor | None, slopes: Tensor, hidden_states: Tensor, before: int) -> Tensor:
    """Make an additive mask [B, H, queries, keys] of a causal one and the bias.

    Args:
        mask: bool or additive [B, 1, queries, keys]; None is plainly causal.
        slopes: [H].
        hidden_states: [B, queries, D].
        before: keys in the cache.
    """
    queries = hidden_states.shape[1]
    keys = before + queries if mask is None else mask.shape[-1]
    query = torch.arange(keys - queries, keys, device=hidden_states.device)[:, None]
    distance = torch.arange(keys, device=hidden_states.device) - query  # [queries, keys], <= 0
    seen = distance <= 0 if mask is None else mask
    if seen.dtype != torch.bool:
        seen = seen >= 0  # an additive mask is 0 where a key is seen
    # Relative to the query, so that near keys are exact also in bf16.
    bias = (slopes[:, None, None] * distance).to(hidden_states.dtype)
    return bias.masked_fill(~seen, torch.finfo(hidden_states.dtype).min)


@converts(split_w_pack())
class BaichuanAlibiForCausalLM(BaichuanForCausalLM):
    """Baichuan 13B and Baichuan 2 13B."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        self.model.rotary_emb = _NoRotation()
        for index, layer in enumerate(self.model.layers):
            layer.self_attn = _AlibiAttention(config, index)
