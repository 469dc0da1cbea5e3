"""Which architecture of llama.cpp computes a model, what its file has to say of it, or why none.

A model is looked up by its family in xtune, then by its model_type in transformers. Each entry says
how llama.cpp's settings follow from the config, how weights are laid out (tensors.py), and what it
cannot compute: that is refused, since llama.cpp would load it and answer otherwise.

Names of tensors are those of the package `gguf`, which llama.cpp's own converter goes by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from xtune.errors import ModelError
from xtune.export.gguf import tensors
from xtune.export.gguf.settings import (
    common_fields,
    rope_parameters,
    rope_refusal,
    write_rope,
    write_window,
)
from xtune.export.gguf.tensors import Pair
from xtune.models.families import family_of_config

__all__ = ["ARCHITECTURES", "Layout", "architecture_of", "gguf_names", "layout_of", "why_not"]

_DENSE_ALIBI = 40  # layers by which llama.cpp knows Baichuan-13B, and leaves rotation out


@dataclass(slots=True)
class Layout:
    """A model as GGUF has it.

    Attributes:
        architecture: its name in llama.cpp.
        fields: settings, without the architecture's name in front.
        tensors: name in GGUF -> weight, as llama.cpp wants it.
        notices: what llama.cpp does otherwise, and where that begins to show.
    """

    architecture: str
    fields: dict[str, Any]
    tensors: dict[str, Tensor] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Architecture:
    """How one of llama.cpp's computes a model.

    Attributes:
        name: in llama.cpp.
        weights: lays weights out.
        fields: settings of its own, from the config.
        refuses: says why it does not compute a model; '' if it does.
    """

    name: str
    weights: Callable[[Iterator[Pair], Any], Iterator[Pair]] = lambda pairs, config: pairs
    fields: Callable[[Any], dict[str, Any]] = lambda config: {}
    refuses: Callable[[Any], str] = lambda config: ""


def why_not(config: Any) -> str:
    """Say why a model cannot be written as GGUF; '' if it can.

    Args:
        config: of the model.
    """
    known = _entry(config)
    if known is None:
        return (
            f"xtune knows no architecture of llama.cpp that computes model_type "
            f"{config.model_type!r}; it writes {', '.join(sorted(ARCHITECTURES))}"
        )
    return known.refuses(config) or rope_refusal(config)


def layout_of(llm: Any) -> Layout:
    """Lay out a model's settings and weights.

    Args:
        llm: a transformers model without an adapter.

    Raises:
        ModelError: llama.cpp does not compute it, or has no place for one of its weights.
    """
    config = llm.config
    known = architecture_of(config)
    made = Layout(known.name, common_fields(config) | known.fields(config))
    write_rope(config, made)
    write_window(config, known.name, made)
    family = family_of_config(config)
    given = llm.state_dict() if family is None else family.weights(llm, "transformers")
    tied = bool(config.tie_word_embeddings)
    name_of = gguf_names(config)
    for name, weight in known.weights(tensors.named(given, tied=tied), config):
        if not name.endswith("rotary_emb.inv_freq"):
            made.tensors[name_of(name)] = weight
    return made


def architecture_of(config: Any) -> Architecture:
    """Return what is known of llama.cpp's architecture for a model.

    Args:
        config: of the model.

    Raises:
        ModelError: there is none that computes it; says why.
    """
    known = _entry(config)
    if known is None or why_not(config):
        name = getattr(config, "name_or_path", "") or f"a {config.model_type!r} model"
        reason = why_not(config)
        raise ModelError(f"{name} cannot be written as GGUF: {reason}")
    return known


def gguf_names(config: Any) -> Callable[[str], str]:
    """Return what gives a weight's name in GGUF, from the one in transformers.

    Args:
        config: of the model.
    """
    import gguf

    name = architecture_of(config).name
    numbers = {text: number for number, text in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(numbers[name], config.num_hidden_layers)

    def name_of(given: str) -> str:
        for form in (given, given.removeprefix("transformer.")):
            if found := names.get_name(form, (".weight", ".bias")):
                return found
        raise ModelError(
            f"llama.cpp's architecture {name!r} has no place for {given} of this model "
            f"({config.model_type}); nothing is written"
        )

    return name_of


def _entry(config: Any) -> Architecture | None:
    family = getattr(config, "xtune_family", None)
    return _BY_FAMILY.get(family or "") or ARCHITECTURES.get(config.model_type)


def _experts(config: Any) -> dict[str, Any]:
    count = next(
        getattr(config, name)
        for name in ("n_routed_experts", "num_local_experts", "num_experts")
        if getattr(config, name, None)
    )
    fields = {"expert_count": count, "expert_used_count": config.num_experts_per_tok}
    if width := getattr(config, "moe_intermediate_size", None):
        fields["expert_feed_forward_length"] = width
    if width := getattr(config, "shared_expert_intermediate_size", None):
        fields["expert_shared_feed_forward_length"] = width
    return fields


def _deepseek(config: Any) -> dict[str, Any]:
    return _experts(config) | {
        "leading_dense_block_count": config.first_k_dense_replace,
        "expert_shared_count": config.n_shared_experts,
        "expert_weights_scale": float(config.routed_scaling_factor),
    }


def _deepseek2(config: Any) -> dict[str, Any]:
    lora, rope = config.kv_lora_rank, config.qk_rope_head_dim
    fields = _deepseek(config) | {
        "attention.head_count_kv": 1,  # the keys that all heads share, not expanded
        "attention.key_length": lora + rope,
        "attention.value_length": lora,
        "attention.key_length_mla": config.qk_nope_head_dim + rope,
        "attention.value_length_mla": config.v_head_dim,
        "attention.kv_lora_rank": lora,
        "rope.dimension_count": rope,
        "expert_weights_norm": bool(config.norm_topk_prob),
        "expert_gating_func": 1,  # softmax
    }
    if config.q_lora_rank:
        fields["attention.q_lora_rank"] = config.q_lora_rank
    if scale := rope_parameters(config).get("mscale_all_dim"):
        fields["rope.scaling.yarn_log_multiplier"] = 0.1 * float(scale)
    return fields


def _gemma3(config: Any) -> dict[str, Any]:
    return {"rope.freq_base_swa": float(config.rope_parameters["sliding_attention"]["rope_theta"])}


def _gemma2(config: Any) -> dict[str, Any]:
    return {
        "attn_logit_softcapping": float(config.attn_logit_softcapping),
        "final_logit_softcapping": float(config.final_logit_softcapping),
    }


def _minicpm(config: Any) -> dict[str, Any]:
    return {
        "embedding_scale": float(config.embedding_multiplier),
        "residual_scale": float(config.residual_multiplier),
        "logit_scale": float(config.logits_scaling),
    }


def _bloom(config: Any) -> dict[str, Any]:
    return {
        "context_length": getattr(config, "seq_length", None) or 2048,
        "attention.layer_norm_epsilon": float(config.layer_norm_epsilon),
        "feed_forward_length": 4 * config.hidden_size,
    }


def _falcon(config: Any) -> dict[str, Any]:
    return {
        "attention.layer_norm_epsilon": float(config.layer_norm_epsilon),
        "attention.head_count_kv": _falcon_key_heads(config),
        "tensor_data_layout": "jploski",
        "feed_forward_length": config.ffn_hidden_size,
    }


def _falcon_key_heads(config: Any) -> int:
    return int(config.num_kv_heads) if config.new_decoder_architecture else 1


def _shared_gate_flat(pairs: Iterator[Pair], config: Any) -> Iterator[Pair]:
    for name, weight in tensors.split_experts(pairs):
        yield name, weight.reshape(-1) if name.endswith("shared_expert_gate.weight") else weight


def _rotary_and_experts(pairs: Iterator[Pair], config: Any) -> Iterator[Pair]:
    return tensors.rotary_interleaved(tensors.split_experts(pairs), config)


def _scale_of_gemma(config: Any) -> str:
    heads = config.num_attention_heads
    usual = config.hidden_size // heads if config.num_hidden_layers == 46 else config.head_dim
    if config.query_pre_attn_scalar != usual:
        return (
            f"llama.cpp scales the scores of this architecture by {usual}**-0.5, and this model's "
            f"query_pre_attn_scalar is {config.query_pre_attn_scalar}"
        )
    return ""


def _pattern_of_gemma3(config: Any) -> str:
    usual = ["full_attention" if n % 6 == 5 else "sliding_attention" for n in range(256)]
    if list(config.layer_types) != usual[: config.num_hidden_layers]:
        return "llama.cpp takes every sixth layer for one of full attention, which is not so here"
    return _scale_of_gemma(config)


def _pattern_of_smollm3(config: Any) -> str:
    turned = [(n + 1) % 4 != 0 for n in range(config.num_hidden_layers)]
    if [bool(layer) for layer in config.no_rope_layers] != turned:
        return "llama.cpp leaves out the positions of every fourth layer, which is not so here"
    return ""


def _requires(name: str, value: Any, what: str) -> Callable[[Any], str]:
    def refusal(config: Any) -> str:
        found = getattr(config, name, value)
        return "" if found == value else f"llama.cpp {what}, and {name} is {found!r} here"

    return refusal


def _falcon_refuses(config: Any) -> str:
    if config.alibi or config.bias or not config.multi_query or not config.parallel_attn:
        return "llama.cpp computes Falcon 7B and 40B, not the RefinedWeb models with ALiBi"
    return ""


def _alibi_refuses(config: Any) -> str:
    if config.num_hidden_layers != _DENSE_ALIBI:
        return (
            f"llama.cpp leaves rotation out of a Baichuan of {_DENSE_ALIBI} layers alone (13B), "
            f"and this one has {config.num_hidden_layers}"
        )
    return ""


_LLAMA = Architecture("llama", tensors.rotary_interleaved)

#: transformers' model_type -> the architecture of llama.cpp.
ARCHITECTURES: dict[str, Architecture] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "mixtral": Architecture("llama", _rotary_and_experts, _experts),
    "smollm3": Architecture("smollm3", tensors.rotary_interleaved, refuses=_pattern_of_smollm3),
    "granite": Architecture("minicpm", tensors.rotary_interleaved, _minicpm),
    "qwen2": Architecture("qwen2"),
    "qwen3": Architecture("qwen3"),
    "qwen2_moe": Architecture(
        "qwen2moe",
        _shared_gate_flat,
        _experts,
        _requires("norm_topk_prob", False, "does not normalise these experts' weights"),
    ),
    "qwen3_moe": Architecture(
        "qwen3moe",
        lambda pairs, config: tensors.split_experts(pairs),
        _experts,
        _requires("norm_topk_prob", True, "normalises these experts' weights"),
    ),
    "gemma": Architecture("gemma", lambda pairs, config: tensors.norms_plus_one(pairs)),
    "gemma2": Architecture(
        "gemma2", lambda pairs, config: tensors.norms_plus_one(pairs), _gemma2, _scale_of_gemma
    ),
    "gemma3_text": Architecture(
        "gemma3", lambda pairs, config: tensors.norms_plus_one(pairs), _gemma3, _pattern_of_gemma3
    ),
    "phi3": Architecture("phi3"),
    "glm": Architecture("chatglm"),
    "glm4": Architecture("glm4"),
    "bloom": Architecture(
        "bloom",
        lambda pairs, config: tensors.fused_by_head(pairs, config.num_attention_heads),
        _bloom,
    ),
    "falcon": Architecture(
        "falcon",
        lambda pairs, config: tensors.grouped_by_head(
            pairs, config.num_attention_heads, _falcon_key_heads(config)
        ),
        _falcon,
        _falcon_refuses,
    ),
    "deepseek_v2": Architecture(
        "deepseek2",
        lambda pairs, config: tensors.absorbed_keys(tensors.split_experts(pairs), config),
        _deepseek2,
        _requires("topk_method", "greedy", "chooses experts one by one"),
    ),
    "gpt_oss": Architecture(
        "gpt-oss",
        lambda pairs, config: tensors.gpt_oss_experts(pairs),
        lambda config: _experts(config) | {"expert_feed_forward_length": config.intermediate_size},
    ),
}
_BY_FAMILY = {
    "DeepSeekMoe": Architecture("deepseek", _rotary_and_experts, _deepseek),
    "BaichuanAlibi": Architecture("baichuan", tensors.rotary_interleaved, refuses=_alibi_refuses),
}
