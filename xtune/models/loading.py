"""Checkpoints from a hub id, a folder, a .gguf file or an alias.

load_config(name)      the architecture alone
load_model(name)       the weights; every missing, extra or misshapen one is an error
"""

from __future__ import annotations

import copy
import functools
import json
import logging
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
)

from xtune.errors import ModelError
from xtune.models.families import (
    family_of_config,
    translated_config,
)
from xtune.models.gguf import no_progress_in_logs
from xtune.models.precision import choose_precision, parse_dtype
from xtune.models.quantization import (
    Quantization,
    keep_narrow_layers,
    pack_shapes,
    quantization_config,
)
from xtune.models.source import explained, some, source_of
from xtune.models.weight_files import spoilt_weights
from xtune.registry import MODELS

__all__ = ["load_config", "load_model", "published_fields"]

logger = logging.getLogger(__name__)

_PUBLISHED = Path(__file__).with_name("published_configs")


def load_config(
    pretrained_model_name_or_path: str, *, trust_remote_code: bool = False, offline: bool = False
) -> PretrainedConfig:
    """Load the architecture of a checkpoint.

    Args:
        pretrained_model_name_or_path: a hub id, a folder, a .gguf file or an alias.
        trust_remote_code: run the checkpoint's own Python code.
        offline: prefer the published architectures that come with xtune and need no file.

    Raises:
        ModelError: nothing is there, or its model_type is unknown.
    """
    if offline and (fields := _shipped_fields(pretrained_model_name_or_path)):
        return translated_config(fields) or AutoConfig.for_model(fields.pop("model_type"), **fields)
    source = source_of(pretrained_model_name_or_path)
    try:
        if not trust_remote_code:
            fields, _ = PretrainedConfig.get_config_dict(source)
            if (config := translated_config(fields)) is not None:
                return config
        return AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise explained(pretrained_model_name_or_path, "config", error) from error


def published_fields(pretrained_model_name_or_path: str) -> dict[str, Any]:
    """Return a checkpoint's config.json as published; from what comes with xtune if it is there.

    Raises:
        ModelError: it is not there, and cannot be fetched.
    """
    if fields := _shipped_fields(pretrained_model_name_or_path):
        return fields
    source = source_of(pretrained_model_name_or_path)
    try:
        fields, _ = PretrainedConfig.get_config_dict(source)
    except (OSError, ValueError) as error:
        raise explained(pretrained_model_name_or_path, "config", error) from error
    return fields


def _shipped_fields(pretrained_model_name_or_path: str) -> dict[str, Any]:
    """The published config.json that comes with xtune, or nothing."""
    file = _PUBLISHED / f"{pretrained_model_name_or_path.replace('/', '--')}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


@MODELS.register_module(name="CausalLM")
def load_model(
    pretrained_model_name_or_path: str,
    *,
    dtype: str = "auto",
    quantization: Quantization | None = None,
    device: torch.device | str | None = None,
    trust_remote_code: bool = False,
) -> PreTrainedModel:
    """Load a causal language model, in evaluation mode.

    Args:
        pretrained_model_name_or_path: a hub id, a folder, a .gguf file or an alias.
        dtype: of the weights: 'fp32', 'bf16', 'fp16', 'stored' for the checkpoint's own, or
            'auto' for what `device` is fastest in.
        quantization: `dict(bits=4, quant_type='nf4', double_quant=True, compute_dtype='auto')` or
            `dict(bits=8)`, by bitsandbytes.
        device: where to; default the CPU. 'meta' builds the architecture without weights; layers
            of 4-bit weights have the shapes that these stand for.
        trust_remote_code: run the checkpoint's own Python code.

    Raises:
        ModelError: nothing is there; an unknown model_type; weights that do not fit.
        ConfigError: an unknown dtype or quantization setting.
    """
    place = torch.device(device or "cpu")
    on_meta = place.type == "meta"
    precision = choose_precision("cpu" if on_meta else place)
    number: Any = precision.weight_dtype
    if dtype != "auto":
        number = "auto" if dtype == "stored" else parse_dtype(dtype)  # transformers' word for it
    bnb = quantization_config(quantization, precision) if quantization else None
    config = load_config(
        pretrained_model_name_or_path, trust_remote_code=trust_remote_code, offline=on_meta
    )
    family = family_of_config(config)
    model_class: Any = AutoModelForCausalLM if family is None else family.model_class(config)
    if on_meta:
        with place:
            if family is None:
                llm = AutoModelForCausalLM.from_config(
                    config, dtype=number, trust_remote_code=trust_remote_code
                )
            else:
                llm = model_class._from_config(config, dtype=number)
        if bnb:
            pack_shapes(llm, bnb)
    else:
        llm = _with_weights(
            model_class,
            pretrained_model_name_or_path,
            config=config,
            dtype=number,
            quantization_config=bnb,
            device_map={"": place} if bnb or place.type != "cpu" else None,
            **({"trust_remote_code": trust_remote_code} if family is None else {}),
        )
    if bnb:
        keep_narrow_layers(llm)
        _warn_of_joined_experts(llm)
    # What the user wrote, not the cache folder behind it: PEFT records this as the adapter's base.
    llm.name_or_path = llm.config.name_or_path = pretrained_model_name_or_path
    return llm


def _with_weights(model_class: Any, name: str, **settings: Any) -> PreTrainedModel:
    no_progress_in_logs()
    load = functools.partial(
        model_class.from_pretrained,
        source_of(name),
        output_loading_info=True,
        ignore_mismatched_sizes=True,
    )
    try:
        try:
            loaded: Any = load(**settings)
        except NotImplementedError:
            # A head that is stored and tied is compared with the embedding, which has no values
            # if both are misshapen. Untied, they are reported below.
            untied = copy.deepcopy(settings["config"])
            untied.tie_word_embeddings = False
            loaded = load(**settings | {"config": untied})
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        source = Path(source_of(name))
        if source.is_dir() and (spoilt := spoilt_weights(source)):
            raise ModelError(spoilt) from error
        raise explained(name, "weights", error) from error
    llm, found = loaded
    problems = [
        f"  {what}: {some(sorted(map(_shown, found[key])))}"
        for what, key in (
            ("missing", "missing_keys"),
            ("extra", "unexpected_keys"),
            ("misshapen", "mismatched_keys"),
        )
        if found[key]
    ]
    if problems:
        raise ModelError(
            f"the weights of {name!r} do not fit its config.json "
            f"(model_type {llm.config.model_type!r}):\n" + "\n".join(problems)
        )
    return llm


def _warn_of_joined_experts(llm: PreTrainedModel) -> None:
    """Only linear layers are quantized; the experts of a layer are one tensor [E, F, D]."""
    joined = sum(
        weight.numel()
        for name, weight in llm.named_parameters()
        if weight.ndim == 3 and ".experts." in name
    )
    if joined:
        logger.warning(
            "%.3g billion weights of %s, its experts, are not quantized: bitsandbytes has no form "
            "for them. `train.py CONFIG --dry-run` says what memory this takes",
            joined / 1e9,
            llm.config.model_type,
        )


def _shown(key: str | tuple[Any, ...]) -> str:
    if isinstance(key, str):
        return key
    name, stored, expected = key
    return f"{name} is {list(stored)}, should be {list(expected)}"
