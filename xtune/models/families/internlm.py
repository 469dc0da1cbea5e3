"""InternLM 1: Llama with biases on the four attention projections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xtune.errors import ModelError
from xtune.models.families.base import Family
from xtune.models.families.files import CheckpointFiles
from xtune.models.families.llama_like import llama_config
from xtune.models.families.sentencepiece_tokenizer import sentencepiece_tokenizer
from xtune.registry import FAMILIES

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

__all__ = ["InternLM"]


@FAMILIES.register_module()
class InternLM(Family):
    """InternLM 1."""

    title = "InternLM"
    published = ("internlm/internlm-7b", "internlm/internlm-chat-7b", "internlm/internlm-20b")
    model_types = ("internlm",)
    loaded_as = "Llama"
    original_files = (
        "tokenizer.model",
        "tokenizer_config.json",
        "configuration_internlm.py",
        "modeling_internlm.py",
        "tokenization_internlm.py",
    )

    differences = (
        "A config.json without `rotary` is rotated plainly, as by the code that such checkpoints "
        "came with; the code of the 20B scales every checkpoint beyond its trained length.",
        "With a `rotary` of type 'dynamic' (20B) the original keeps the frequencies of the longest "
        "row it has seen; here a row's logits do not depend on earlier rows. Saved in the "
        "transformers layout, longer rows follow transformers' own rule, which keeps them too.",
    )

    def config(self, fields: Mapping[str, Any]) -> PretrainedConfig:
        """Translate; `bias` is that of q, k, v and o.

        Raises:
            ModelError: a kind of rotary embedding that the original does not know.
        """
        rotary = {"type": "origin", "base": 10000} | (fields.get("rotary") or {})
        kinds = {"origin": "default", "dynamic": "dynamic"}
        if rotary["type"] not in kinds:
            raise ModelError(
                f"config.json sets rotary's type to {rotary['type']!r}; allowed are "
                f"{' and '.join(map(repr, kinds))}"
            )
        rope = {"rope_type": kinds[rotary["type"]], "rope_theta": float(rotary["base"])}
        if rotary["type"] == "dynamic":
            rope["factor"] = float(rotary.get("scaling_factor", 1.0))
        return llama_config(fields, attention_bias=fields.get("bias", True), rope_parameters=rope)

    def model_class(self, config: PretrainedConfig) -> type[PreTrainedModel]:
        """Always the one class."""
        from xtune.models.families.architectures.internlm import InternLMForCausalLM

        return InternLMForCausalLM

    def tokenizer(self, files: CheckpointFiles) -> Any:
        """From tokenizer.model."""
        return sentencepiece_tokenizer(files, adds_bos=True)
