"""MiniCPM 1B and 2B, on Granite."""

from __future__ import annotations

from transformers import GraniteForCausalLM

from xtune.models.families.architectures.conversions import converts

__all__ = ["MiniCPMForCausalLM"]


@converts()
class MiniCPMForCausalLM(GraniteForCausalLM):
    """MiniCPM; its weights have Granite's names, which are Llama's."""

    _keys_to_ignore_on_load_unexpected = [r"rotary_emb\.inv_freq"]
