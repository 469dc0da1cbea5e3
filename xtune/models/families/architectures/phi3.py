"""Phi-3 and Phi-4-mini for long texts: LongRoPE, chosen for each document of a row.

LongRoPE (Ding et al. 2024) divides the rotary frequencies by one list of factors in a text of at
most `original_max_position_embeddings` tokens and by another in a longer one. transformers chooses
once for all that it is given, by the largest position; in a row of documents the short ones would
then turn as the longest does, and train otherwise than alone:

    positions      0 1 2 3 4 5 0 1 2 0 1 2 3 4      trained length 4
    transformers   l l l l l l l l l l l l l l
    here           l l l l l l s s s l l l l l

Shapes: B rows, T tokens, E rotated part of a head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import Phi3Config, Phi3ForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.phi3.modeling_phi3 import Phi3RotaryEmbedding

from xtune.models.families.architectures.conversions import converts
from xtune.models.families.architectures.dynamic_rope import document_lengths

__all__ = ["LongRopePhi3ForCausalLM"]


class LongRopeRotaryEmbedding(Phi3RotaryEmbedding):
    """Rotary positions by each document's own length; no state is kept from row to row."""

    @torch.no_grad()
    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return cos and sin.

        Args:
            x: any tensor of the wanted device and dtype.
            position_ids: int64 [B, T].

        Returns:
            Twice [B, T, E], in x's dtype, times LongRoPE's factor of the attention.
        """
        rope: Any = self.config.rope_parameters
        trained: int = rope["original_max_position_embeddings"]
        long, _ = ROPE_INIT_FUNCTIONS["longrope"](self.config, x.device, seq_len=trained + 1)
        short = self.original_inv_freq.to(x.device)
        is_long = document_lengths(position_ids) > trained
        frequencies = torch.where(is_long[..., None], long.float(), short.float())
        angles = position_ids[..., None].float() * frequencies
        angles = torch.cat((angles, angles), dim=-1)
        cos, sin = (part * self.attention_scaling for part in (angles.cos(), angles.sin()))
        return cos.to(x.dtype), sin.to(x.dtype)


@converts()
class LongRopePhi3ForCausalLM(Phi3ForCausalLM):
    """Phi-3 with the rotary positions of this file; its weights have transformers' names."""

    def __init__(self, config: Phi3Config) -> None:
        super().__init__(config)
        self.model.rotary_emb = LongRopeRotaryEmbedding(config)
