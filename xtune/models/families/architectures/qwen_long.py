"""Qwen 1 on rows longer than it was trained on: dynamic NTK frequencies and scaled queries.

Both leave a document of at most `seq_length` tokens as it is, and both act in evaluation mode
only, as in the original. So a model that is trained on longer documents is trained with plain
frequencies, and answers with others: give `max_length` of at most `seq_length`.

Shapes: B batch, T tokens, E head width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, PretrainedConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.qwen2.modeling_qwen2 import (
    Qwen2Attention,
    Qwen2Model,
    apply_rotary_pos_emb,
    eager_attention_forward,
)

from xtune.models.families.architectures.dynamic_rope import (
    DynamicRotaryEmbedding,
    document_lengths,
)

__all__ = ["LognAttention", "NtkModel", "NtkRotaryEmbedding"]


class NtkRotaryEmbedding(DynamicRotaryEmbedding):
    """Frequencies that step down each time that a document's length doubles.

    A document of L tokens, 2^(n-1) < L / seq_length <= 2^n, grows by 2^(n+1) - 1: by 3 up to
    twice the trained length, by 7 up to four times (Qwen technical report, 2023, section 2.4).
    """

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config)
        self.trained_length = config.seq_length
        self.cache: Any = None  # of the call that is going on

    def growth(self, position_ids: Tensor) -> Tensor:
        """Return the factor of each token's document; that of the prompt while its cache is used.

        The keys in a cache are rotated already: a step that is rotated otherwise would see them
        at other distances. Like the original, generation goes on as the prompt began. The factor
        lies with the cache, so that nothing outlives it.
        """
        if self.training:
            return torch.ones_like(position_ids, dtype=torch.float32)
        if self.cache is not None and self.cache.get_seq_length() > 0:
            of_prompt = getattr(self.cache, "ntk_growth", None)
            if of_prompt is not None:
                return of_prompt.to(position_ids.device).expand(position_ids.shape)
        ratio = document_lengths(position_ids).float() / self.trained_length
        mantissa, exponent = torch.frexp(ratio)  # exact, where a logarithm's ceiling is not
        doublings = exponent - (mantissa == 0.5).int()
        growth = (2.0 ** (doublings + 1) - 1).clamp(min=1)
        if self.cache is not None:
            self.cache.ntk_growth = growth[:, -1:]
        return growth


class NtkModel(Qwen2Model):
    """Qwen2's layers; the frequencies of a cached step are those of its prompt."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.rotary_emb: Any = NtkRotaryEmbedding(config)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """As Qwen2Model's.

        Args: as that of the class it derives from.
        """
        wanted = self.config.use_cache if use_cache is None else use_cache
        if wanted and past_key_values is None and not self.training:
            past_key_values = DynamicCache(config=self.config)
        self.rotary_emb.cache = past_key_values
        try:
            return super().forward(
                input_ids=input_ids,
                attention_mask=attention_mask,
                position_ids=position_ids,
                past_key_values=past_key_values,
                inputs_embeds=inputs_embeds,
                use_cache=use_cache,
                **kwargs,
            )
        finally:
            self.rotary_emb.cache = None


class LognAttention(Qwen2Attention):
    """Attention whose query at position p, counted from 1, is scaled by log(p) / log(seq_length).

    Only beyond seq_length. It keeps the entropy of the attention weights where it was in training
    (Su 2021; Chiang & Cholak 2022).
    """

    def forward(
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        attention_mask: Tensor | None,
        past_key_values: Cache | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """As Qwen2Attention's, with a factor between the rotation and the scores.

        Args: as that of the class it derives from.
        """
        if self.training:
            return super().forward(
                hidden_states, position_embeddings, attention_mask, past_key_values, **kwargs
            )
        heads = (*hidden_states.shape[:-1], -1, self.head_dim)
        query, key, value = (
            project(hidden_states).view(heads).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        query, key = apply_rotary_pos_emb(query, key, *position_embeddings)
        query = query * self.factor(kwargs["position_ids"])[:, None, :, None].to(query.dtype)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        attend: Callable[..., Any] = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        mixed, weights = attend(
            self,
            query,
            key,
            value,
            attention_mask,
            dropout=0.0,
            scaling=self.scaling,
            sliding_window=self.sliding_window,
            **kwargs,
        )
        return self.o_proj(mixed.flatten(2)), weights

    def factor(self, position_ids: Tensor) -> Tensor:
        """The factor of the query at each position: fp32 [B, T], at least 1."""
        logs = torch.log(position_ids.float() + 1) / math.log(self.config.seq_length)
        return logs.clamp(min=1)
