"""Adapters in a sheet: methods that would go wrong here are refused, names are matched.

A method of PEFT that is not refused trains what it says, and loads again as it was trained;
tests/models/test_adapter_methods.py proves it of each.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import xtune
from xtune import registry
from xtune.config.continued import found_adapter
from xtune.config.linear_layers import are_linear_layers
from xtune.errors import RegistryError
from xtune.hub import fetch_it_first
from xtune.names import Kind, is_hub_id, kind_of

__all__ = ["Refusal", "config_is_here", "contradictions", "names_modules", "refusal"]


class Refusal(NamedTuple):
    """Why a method is refused: the argument that asks for it, the reason, what to use instead."""

    argument: str
    reason: str
    instead: str


_LORA = "Use LoraConfig"
_PROMPT = (
    "it would add tokens to the input, which documents packed end to end have no place for",
    f"{_LORA}, or another adapter that changes the layers",
)
_OWN_MODEL = (
    "it needs parts of its own around the model or the data, which a config cannot give",
    _LORA,
)
# Kinds of PEFT's: reason and way out
_KINDS = {
    **dict.fromkeys(
        (
            "CPTConfig",
            "MultitaskPromptTuningConfig",
            "PrefixTuningConfig",
            "PromptEncoderConfig",
            "PromptTuningConfig",
        ),
        _PROMPT,
    ),
    **dict.fromkeys(
        ("AdaptionPromptConfig", "CartridgeConfig", "PolyConfig", "ShadowConfig", "XLoraConfig"),
        _OWN_MODEL,
    ),
    "AdaLoraConfig": (
        "its ranks must be shared out anew in each step, which no training loop here does",
        f"{_LORA}, with rank_pattern for other ranks in some layers",
    ),
    "LilyConfig": (
        "packed documents would see each other through its router",
        _LORA,
    ),
}
_FROM_DATA = "its first weights come from a pass over data that xtune does not make"
# Starts of LoRA's weights: reason and way out
_STARTS = {
    "pissa_niter_": (
        "the split of the base is drawn at random and would be another one on loading",
        "Use init_lora_weights='pissa', the exact split",
    ),
    "eva": (_FROM_DATA, "Leave init_lora_weights out"),
    "corda": (_FROM_DATA, "Leave init_lora_weights out"),
    "lora_ga": (_FROM_DATA, "Leave init_lora_weights out"),
    "loftq": (
        "it quantizes the base in a way of its own, which loading would not repeat",
        "Leave init_lora_weights out and quantize the base by model.llm.quantization",
    ),
}
_SETTINGS = {
    "alora_invocation_tokens": (
        "an activated LoRA would train nothing: where it begins is not known to packed documents",
        "Leave it out: plain LoRA",
    ),
    "arrow_config": (
        "its experts are other adapters, which a config cannot give",
        "Leave it out",
    ),
    "monteclora_config": (
        "what it trains cannot be loaded again, and its own loss is in no training loop here",
        "Leave it out",
    ),
    "layer_replication": (
        "repeated layers share one place in the cache of packed attention and come out wrong",
        "Leave it out, or repeat the layers in a checkpoint of your own",
    ),
}
# Not on a quantized base
_NOT_QUANTIZED = {
    "olora": (
        "it would change the quantized base",
        "Use init_lora_weights=True, or no quantization",
    ),
    "pissa": (
        "it would change the quantized base",
        "Use init_lora_weights=True, or no quantization",
    ),
}


def refusal(
    kind: str | type, settings: Mapping[str, Any], *, quantized: bool = False
) -> Refusal | None:
    """Say why an adapter method would train nothing, or something else than is loaded later.

    Args:
        kind: a PEFT config's class, or its name as a sheet has it.
        settings: its arguments.
        quantized: whether the base is.

    Returns:
        None if the method is right here.
    """
    names = [kind] if isinstance(kind, str) else [base.__name__ for base in kind.__mro__]
    names = [name.rpartition(".")[2].rpartition(":")[2] for name in names]
    for name in names:
        if name in _KINDS:
            return Refusal("type", *_KINDS[name])
    for argument, why in _SETTINGS.items():
        if settings.get(argument):
            return Refusal(argument, *why)
    start = settings.get("init_lora_weights")
    if isinstance(start, str):
        for prefix, why in _STARTS.items():
            if start.lower().startswith(prefix):
                return Refusal("init_lora_weights", *why)
        if quantized and start.lower() in _NOT_QUANTIZED:
            return Refusal("init_lora_weights", *_NOT_QUANTIZED[start.lower()])
    if quantized and "LoHaConfig" in names:
        return Refusal("type", "it cannot compute with packed 4-bit weights", _LORA)
    return None


# Besides target_modules
_NAMING = (
    "alpha_pattern",
    "exclude_modules",
    "feedforward_modules",
    "layers_pattern",
    "layers_to_transform",
    "lora_bias",
    "modules_to_save",
    "rank_pattern",
    "target_parameters",
    "trainable_token_indices",
)


def names_modules(adapter: Any) -> bool:
    """Whether an adapter's settings name modules of the model, and so must be matched with it."""
    if not isinstance(adapter, Mapping):
        return False
    targets = adapter.get("target_modules")  # an empty list names none, and so trains nothing
    if targets is not None and str(targets).lower() != "all-linear":
        return True
    return any(adapter.get(name) for name in _NAMING)


def config_is_here(name: Any) -> bool:
    """Whether a model's config.json is on this disk, so that it can be read without a network."""
    return _config_file(name) is not None


def _config_file(name: Any) -> Path | None:
    """The config.json that a model is built from without a network: the shipped one comes first."""
    if not isinstance(name, str) or kind_of(name) is Kind.MODELSCOPE:
        return None
    published = Path(xtune.__file__).parent / "models/published_configs"
    shipped = published / f"{name.replace('/', '--')}.json"
    own = Path(name).expanduser() / "config.json"
    for file in (shipped, own):
        if file.is_file():
            return file
    if not is_hub_id(name):
        return None
    cache = os.environ.get("HF_HUB_CACHE") or os.path.join(
        os.environ.get("HF_HOME") or "~/.cache/huggingface", "hub"
    )
    folder = Path(cache).expanduser() / f"models--{name.replace('/', '--')}"
    return next(folder.glob("snapshots/*/config.json"), None)


def contradictions(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield dotted key, message and hint of what is wrong with the adapter of a sheet.

    Names are matched where the model's config.json is at hand. For LoRA on linear layers of a kind
    of model that is known, that is a look into a table; else it loads torch and PEFT.
    """
    model: Any = values.get("model")
    adapter, llm = (_mapping(model, key) for key in ("adapter", "llm"))
    if not llm:
        return
    if (folder := model.get("adapter_folder")) is not None:
        if found_adapter(folder) is None:
            yield (
                "model.adapter_folder",
                f"there is no adapter_config.json in {folder!r}",
                "give the folder that PEFT or xtune wrote, or the run: work_dirs/<name>"
                f"{fetch_it_first(str(folder))}",
            )
        return
    if not adapter:
        name = llm.get("pretrained_model_name_or_path")
        if found_adapter(name) is not None:
            yield (
                "model.llm.pretrained_model_name_or_path",
                f"{name!r} is an adapter, and this config trains a whole model",
                "train it further with a config for LoRA, or merge it first: xtune export",
            )
        return
    kind = adapter.get("type")
    if not isinstance(kind, str | type):
        return
    if found := refusal(kind, adapter, quantized=llm.get("quantization") is not None):
        yield f"model.adapter.{found.argument}", found.reason, found.instead
        return
    name = llm.get("pretrained_model_name_or_path")
    if isinstance(adapter.get("modules_to_save"), str):  # the check of types says so
        return
    if not names_modules(adapter) or llm.get("trust_remote_code") or not config_is_here(name):
        return
    if _is_on_linear_layers(kind, adapter, name):
        return
    try:
        registry.resolve(registry.ADAPTERS, kind)
    except RegistryError:  # the check of types says so
        return
    misnamed_in: Callable[..., Any] = registry.resolve(
        registry.MODELS, "xtune.models.adapter_check.misnamed_in"
    )
    for argument, message, hint in misnamed_in(model):
        key = f"model.adapter.{argument}" if argument else "model.adapter"
        yield key, message, hint.removeprefix("; ")


def _is_on_linear_layers(kind: str | type, adapter: Mapping[str, Any], name: Any) -> bool:
    """Whether a table says that each name in LoRA's settings is in the model; see linear_layers."""
    file, targets = _config_file(name), adapter.get("target_modules")
    others = (argument for argument in _NAMING if argument != "layers_to_transform")
    return (
        str(kind).rpartition(".")[2] == "LoraConfig"
        and isinstance(targets, list | tuple | set)
        and not any(adapter.get(argument) for argument in others)
        and file is not None
        and are_linear_layers(list(targets), adapter.get("layers_to_transform"), file)
    )


def _mapping(section: Any, key: str) -> Mapping[str, Any]:
    found = section.get(key) if isinstance(section, Mapping) else None
    return found if isinstance(found, Mapping) else {}
