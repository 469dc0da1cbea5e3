"""DeepSeekMoE 16B: Llama's attention, and DeepSeek-V2's mixture of fine-grained experts.

The first layers are dense. In the others a router shares each token out among the best k experts,
and some shared experts, published as one wide MLP, see every token (Dai et al. 2024, section 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from xtune.errors import ModelError
from xtune.models.families.base import Family, Layout
from xtune.models.families.llama_like import llama_config
from xtune.registry import FAMILIES

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

__all__ = ["DeepSeekMoe"]

# What the original's code knows and the published models do not use: name -> the value they have
_ONLY = {"scoring_func": "softmax", "norm_topk_prob": False, "moe_layer_freq": 1}


@FAMILIES.register_module()
class DeepSeekMoe(Family):
    """DeepSeek's first mixture of experts."""

    title = "DeepSeekMoE 16B"
    published = ("deepseek-ai/deepseek-moe-16b-base", "deepseek-ai/deepseek-moe-16b-chat")
    model_types = ("deepseek",)
    loaded_as = "Llama with DeepSeek-V2's experts"
    original_files = (
        "tokenizer.json",
        "tokenizer_config.json",
        "configuration_deepseek.py",
        "modeling_deepseek.py",
    )
    checkpoint_layout = "original"  # the other is not readable elsewhere
    differences = (
        "bitsandbytes leaves the experts in 16 bits, so that QLoRA saves little here",
        "no auxiliary loss balances the load of the experts",
        "LoRA on all linear layers lands on attention, dense layers and shared experts only",
    )

    unproven: ClassVar[Mapping[str, str]] = {
        "transformers_layout": "no transformers architecture computes the same"
    }

    def config(self, fields: Mapping[str, Any]) -> PretrainedConfig:
        """Translate; the experts' settings keep their names.

        Raises:
            ModelError: scaled positions, or experts of another kind.
        """
        allowed = _ONLY | {"rope_scaling": None}
        for name, value in allowed.items():
            if fields.get(name, value) != value:
                raise ModelError(
                    f"config.json sets {name} to {fields[name]!r}; of DeepSeekMoE only {value!r} "
                    "is supported"
                )
        return llama_config(
            fields,
            attention_bias=fields.get("attention_bias", False),
            first_k_dense_replace=fields["first_k_dense_replace"],
            moe_intermediate_size=fields["moe_intermediate_size"],
            num_experts=fields["n_routed_experts"],
            num_experts_per_tok=fields["num_experts_per_tok"],
            n_shared_experts=fields["n_shared_experts"],
            # DeepSeek-V2's router can do more:
            routed_scaling_factor=1.0,
            topk_method="greedy",
            n_group=1,
            topk_group=1,
        )

    def model_class(self, config: PretrainedConfig) -> type[PreTrainedModel]:
        """Always the one class."""
        from xtune.models.families.architectures.deepseek_moe import DeepSeekMoeForCausalLM

        return DeepSeekMoeForCausalLM

    def layouts(self, config: PretrainedConfig) -> tuple[Layout, ...]:
        """No transformers architecture has these experts behind Llama's attention."""
        return ("original",)
