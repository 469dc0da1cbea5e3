"""A tiny random checkpoint of the family that a config trains: to try a run before its weights.

    published config.json --shrunk--> 2 layers, width 64, 4 heads, 4 experts --> random weights

It has the fields, the names and the layout of the published one, so that a run goes the same way
through the code; only sizes differ. Its tokenizer has the bytes, a few merges, and the special
tokens of the registered templates.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from xtune.data.templates import build_template
from xtune.errors import ModelError, UsageError, did_you_mean
from xtune.export.export import write_model
from xtune.models.families import family_of_config, translated_config
from xtune.models.gguf import no_progress_in_logs
from xtune.models.loading import published_fields

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["layers_named", "shrunk", "tiny_tokenizer", "write_tiny"]

# Every size that a published config.json gives, under whatever name
_SIZES = {
    "hidden_size": 64,
    "n_embed": 64,
    "intermediate_size": 128,
    "ffn_hidden_size": 128,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 64,
    "num_attention_heads": 4,
    "head_dim": 16,
    "kv_channels": 16,
    "query_pre_attn_scalar": 16,
    "kv_lora_rank": 32,
    "q_lora_rank": 32,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "experts_per_token": 2,
}
_MOST = 5_000_000  # parameters
_LAYERS = ("num_hidden_layers", "num_layers", "n_layer")
_INTERVALS = ("sliding_window_pattern", "no_rope_layer_interval")  # of layers that are unlike
_KEY_HEADS = ("num_key_value_heads", "num_kv_heads", "multi_query_group_num")
_VOCABULARY = ("vocab_size", "padded_vocab_size")
_TOKENS = {"bos_token_id": "<s>", "eos_token_id": "</s>", "pad_token_id": "</s>"}
_SPECIAL = [
    "<unk>",
    "<s>",
    "</s>",
    "<|im_start|>",
    "<|im_end|>",
    "<|im_sep|>",
    "<eoh>",
    "<eoa>",
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "[gMASK]",
    "<sop>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
    "<|end|>",
    "<|EOT|>",
    "<|end_of_turn|>",
    "<|END_OF_TURN_TOKEN|>",
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
]
_TEXT = """system user assistant tool What is the capital of France? The capital of France is Paris.
def add(a, b):\n    return a + b\n {"name": "weather", "arguments": {"city": "Paris"}}
给出三条保持健康的建议。上海有哪些值得一去的地方？The quick brown fox jumps over the lazy dog."""


def write_tiny(
    folder: Path, pretrained_model_name_or_path: str, *, seed: int = 0, layers: int = 2
) -> int:
    """Write a tiny checkpoint with the architecture of another, and return its parameters.

    Args:
        folder: where to; made, and empty if it is there.
        pretrained_model_name_or_path: a hub id, a folder or an alias, as a config names it.
        seed: of the weights.
        layers: at least so many; more where the architecture's own pattern takes more.

    Raises:
        UsageError: the folder is not empty.
        ModelError: the architecture is not known here, or its config.json is not at hand.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already and not an empty folder; name another one")
    tokenizer = tiny_tokenizer()
    fields = shrunk(_fields_of(pretrained_model_name_or_path), tokenizer, layers)
    config = translated_config(fields) or _config_of(fields)
    family = family_of_config(config)
    _require_tiny(config)
    no_progress_in_logs()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        llm = _built(config).float()
        _draw(llm)
    original = family is not None and "original" in family.layouts(config)
    write_model(folder, llm, tokenizer, {}, layout="original" if original else None)
    return sum(parameter.numel() for parameter in llm.parameters())


def layers_named(adapter: Mapping[str, Any] | None) -> int:
    """How many layers a model must have at least so that an adapter finds all that it names."""
    named = (adapter or {}).get("layers_to_transform") or ()
    return max([2, *(layer + 1 for layer in ([named] if isinstance(named, int) else named))])


def shrunk(
    fields: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, layers: int = 2
) -> dict[str, Any]:
    """Return a published config.json with small sizes and the ids of a tokenizer.

    Packed weights are left out: the checkpoint written is not packed.

    Args:
        fields: of a config.json.
        tokenizer: whose ids the model is to have.
        layers: at least so many.
    """
    heads = fields.get("num_attention_heads")
    layers = max([layers, *(fields[name] for name in _INTERVALS if name in fields)])
    small = {name: _SIZES.get(name, value) for name, value in fields.items() if value is not None}
    small |= {name: layers for name in _LAYERS if name in fields}
    for name in _KEY_HEADS:
        if fields.get(name) is not None:
            small[name] = 4 if fields[name] == heads else min(fields[name], 2)
    small |= {name: len(tokenizer) for name in _VOCABULARY if name in fields}
    for name, token in _TOKENS.items():
        if fields.get(name) is not None:
            small[name] = tokenizer.convert_tokens_to_ids(token)
    if "max_window_layers" in small:
        small["max_window_layers"] = min(small["max_window_layers"], layers)
    if "layer_types" in small:
        small["layer_types"] = small["layer_types"][:layers]
    small.pop("quantization_config", None)
    return small


def tiny_tokenizer() -> PreTrainedTokenizerBase:
    """Return a byte-level BPE of 384 tokens, with the special tokens of the registered templates.

    Its own chat template is ChatML, for prompt_template = 'auto'.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=_SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(_TEXT.splitlines(), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=_SPECIAL[3:],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = build_template("chatml", tokenizer).jinja
    return tokenizer


@torch.no_grad()
def _draw(llm: torch.nn.Module) -> None:
    """Draw every matrix anew: a class of ours leaves those that only checkpoints fill as they are.

    Larger than the published initialisation, which at this width gives attention nothing to choose
    between.
    """
    for parameter in llm.parameters():
        if parameter.ndim > 1:
            parameter.normal_(std=parameter.shape[-1] ** -0.5)


def _fields_of(pretrained_model_name_or_path: str) -> dict[str, Any]:
    try:
        fields = published_fields(pretrained_model_name_or_path)
    except ModelError as error:
        raise ModelError(
            f"{error}. A tiny model needs the published config.json alone: put it in a folder, and "
            "name the folder in a copy of the config (xtune copy-cfg) as "
            "pretrained_model_name_or_path"
        ) from error
    if "model_type" not in fields:
        raise ModelError(
            f"the config.json of {pretrained_model_name_or_path!r} has no model_type, so its "
            "architecture is not known; take the published file"
        )
    return fields


def _config_of(fields: dict[str, Any]) -> PretrainedConfig:
    kind = fields["model_type"]
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise ModelError(
            f"model_type {kind!r} is no language model that transformers or xtune know"
            f"{did_you_mean(str(kind), MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) or '.'} What is read: "
            "xtune list-models"
        )
    return AutoConfig.for_model(kind, **{n: v for n, v in fields.items() if n != "model_type"})


def _built(config: PretrainedConfig) -> torch.nn.Module:
    family = family_of_config(config)
    if family is None:
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return family.model_class(config)(config)


def _require_tiny(config: PretrainedConfig) -> None:
    """Refuse a model that is still large, before it takes memory: _SIZES lacks its names."""
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in _built(config).parameters())
    if parameters > _MOST:
        raise ModelError(
            f"the config.json of model_type {config.model_type!r} gives its sizes under names that "
            f"are not known here, or not at all: shrunk it would still have {parameters:,} "
            f"parameters, and a tiny model has at most {_MOST:,}. Add the names to _SIZES in "
            "xtune/export/tiny.py"
        )
