"""Baichuan 7B and Baichuan 2 7B: Llama with q, k, v in one matrix; the second normalises its head.

The 13B models are in baichuan_alibi.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xtune.models.families.base import Family, Layout
from xtune.models.families.files import CheckpointFiles
from xtune.models.families.llama_like import llama_config
from xtune.models.families.sentencepiece_tokenizer import sentencepiece_tokenizer
from xtune.registry import FAMILIES

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedModel

__all__ = ["Baichuan"]


@FAMILIES.register_module()
class Baichuan(Family):
    """Baichuan 7B and Baichuan 2 7B."""

    title = "Baichuan-7B, Baichuan2-7B"
    published = (
        "baichuan-inc/Baichuan-7B",
        "baichuan-inc/Baichuan2-7B-Base",
        "baichuan-inc/Baichuan2-7B-Chat",
    )
    model_types = ("baichuan",)
    loaded_as = "Llama"
    original_files = (
        "tokenizer.model",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "configuration_baichuan.py",
        "modeling_baichuan.py",
        "tokenization_baichuan.py",
        "generation_utils.py",
        "quantizer.py",
    )
    # In the transformers layout Baichuan 2's head is normalised: training cannot go on from it.
    checkpoint_layout = "original"

    def reads(self, fields: Mapping[str, Any]) -> bool:
        """The rotary ones: only their config.json has max_position_embeddings."""
        return super().reads(fields) and "max_position_embeddings" in fields

    def config(self, fields: Mapping[str, Any]) -> PretrainedConfig:
        """Translate."""
        return llama_config(
            fields, attention_bias=False, normalises_head=is_second_generation(fields)
        )

    def model_class(self, config: PretrainedConfig) -> type[PreTrainedModel]:
        """Always the one class."""
        from xtune.models.families.architectures.baichuan import BaichuanForCausalLM

        return BaichuanForCausalLM

    def tokenizer(self, files: CheckpointFiles) -> Any:
        """From tokenizer.model."""
        return sentencepiece_tokenizer(files, adds_bos=False)

    def weights(self, llm: PreTrainedModel, layout: Layout) -> dict[str, Tensor]:
        """In the transformers layout the head is written normalised, for a plain Llama.

        Args: as `Family.weights`.
        """
        import torch

        from xtune.models.families.architectures.baichuan import NormHead

        weights = super().weights(llm, layout)
        head = llm.get_output_embeddings()
        if layout == "transformers" and isinstance(head, NormHead):
            with torch.no_grad():
                weights = {**weights, "lm_head.weight": head.effective_weight}
        return weights


def is_second_generation(fields: Mapping[str, Any]) -> bool:
    """Tell Baichuan 2, which normalises its head, from Baichuan 1, whose config looks the same.

    Only the second generation's config.json has z_loss_weight; its vocabulary is 125,696 as
    published, the first one's 64,000. Either sign will do, so that a tuned copy that dropped the
    one is not taken for the first generation: every logit would be another.
    """
    return "z_loss_weight" in fields or fields["vocab_size"] >= 125696
