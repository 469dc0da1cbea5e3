"""Baichuan 7B and Baichuan 2 7B, on Llama; the head of the second is normalised."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.core_model_loading import Chunk, WeightConverter

from xtune.models.families.architectures.conversions import converts

__all__ = ["BaichuanForCausalLM", "NormHead", "split_w_pack"]


class NormHead(nn.Linear):
    """A head whose rows count by their direction only: each is divided by its L2 norm.

    The stored weight is as it was trained, not normalised, so that training goes on from it and
    its gradient passes through the norm.
    """

    @property
    def effective_weight(self) -> Tensor:
        """The normalised weight [V, D]."""
        return F.normalize(self.weight)

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., D] to logits [..., V]."""
        return F.linear(hidden, self.effective_weight)


def split_w_pack() -> WeightConverter:
    """W_pack stacks [q; k; v], each as many rows."""
    targets = [f".self_attn.{name}_proj." for name in "qkv"]
    return WeightConverter(".self_attn.W_pack.", targets, operations=[Chunk(dim=0)])


@converts(split_w_pack())
class BaichuanForCausalLM(LlamaForCausalLM):
    """Baichuan 7B and Baichuan 2 7B."""

    _keys_to_ignore_on_load_unexpected = [r"rotary_emb\.inv_freq"]

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        if config.normalises_head:
            self.lm_head = NormHead(config.hidden_size, config.vocab_size, bias=False)
