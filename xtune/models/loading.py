"""Checkpoints from a hub id, a folder, a .gguf file or an alias.

load_config(name)      the architecture alone
load_model(name)       the weights; every missing, extra or misshapen one is an error
load_as(name, class)   the same, as another class of transformers: see sequence_classifier.py
"""

from __future__ import annotations

import copy
import functools
import json
import logging
from collections.abc import Callable, Sequence
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

from xtune.errors import ConfigError, ModelError
from xtune.models.families import (
    family_of_config,
    translated_config,
)
from xtune.models.gguf import no_progress_in_logs
from xtune.models.packed.packing import packing_of
from xtune.models.packed.quantizer import pack_linears, read_packed
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

__all__ = ["SCORES", "is_reward_model", "load_as", "load_config", "load_model", "published_fields"]

logger = logging.getLogger(__name__)

_PUBLISHED = Path(__file__).with_name("published_configs")
SCORES = "ForSequenceClassification"  # how transformers' classes of reward models are called


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


def is_reward_model(config: PretrainedConfig) -> bool:
    """Tell whether a checkpoint's config says that it scores texts and writes none.

    Args:
        config: as `load_config` gives it.
    """
    return any(str(name).endswith(SCORES) for name in config.architectures or ())


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
        ModelError: nothing is there; an unknown model_type; weights that do not fit; it is a
            reward model.
        ConfigError: an unknown dtype or quantization setting.
    """
    name = pretrained_model_name_or_path
    config = load_config(
        name, trust_remote_code=trust_remote_code, offline=_is_meta(device or "cpu")
    )
    if is_reward_model(config):
        raise ModelError(
            f"{name!r} is a reward model ({', '.join(config.architectures or ())}): it scores "
            f"answers and writes none. Score with it: xtune score {name} DATA. Where a language "
            "model is asked for, name the one that it was trained from"
        )
    family = family_of_config(config)
    further: dict[str, Any] = {"trust_remote_code": trust_remote_code} if family is None else {}
    return load_as(
        name,
        AutoModelForCausalLM if family is None else family.model_class(config),
        config,
        dtype=dtype,
        quantization=quantization,
        device=device,
        **further,
    )


def load_as(
    name: str,
    model_class: Any,
    config: PretrainedConfig,
    *,
    dtype: str,
    quantization: Quantization | None,
    device: torch.device | str | None,
    may_differ: Callable[[str, str], bool] = lambda what, key: False,
    kept: Sequence[str] | None = None,
    **further: Any,
) -> PreTrainedModel:
    """Load a checkpoint as a class of transformers, in evaluation mode.

    Args:
        name: of the checkpoint, as `load_model` takes it.
        model_class: an auto class, or a model's own.
        config: of the checkpoint.
        dtype: as `load_model` takes it.
        quantization: likewise.
        device: likewise.
        may_differ: whether a weight may be 'missing' or 'extra', by its name.
        kept: names of modules that are not quantized; None: the head.
        further: arguments of the class's `from_pretrained` and `from_config`.

    Raises:
        ModelError: weights that do not fit.
        ConfigError: an unknown dtype or quantization setting.
    """
    place = torch.device(device or "cpu")
    on_meta = _is_meta(place)
    precision = choose_precision("cpu" if on_meta else place)
    number: Any = precision.weight_dtype
    if dtype != "auto":
        number = "auto" if dtype == "stored" else parse_dtype(dtype)  # transformers' word for it
    bnb = quantization_config(quantization, precision) if quantization else None
    if (packing := packing_of(config)) is not None:
        _require_readable(name, config, packing.title, is_asked=bnb is not None)
        config = copy.deepcopy(config)
        read_packed(config)
    if bnb and kept is not None:
        bnb.llm_int8_skip_modules = list(kept)  # of 4 bits too
    if on_meta:
        with place:
            # an auto class has the one, a model's own the other
            make = getattr(model_class, "from_config", None) or model_class._from_config
            llm = make(config, dtype=number, **further)
        if bnb:
            pack_shapes(llm, bnb)
        if packing is not None:
            pack_linears(llm, packing, llm.dtype)
    else:
        llm = _with_weights(
            model_class,
            name,
            may_differ,
            config=config,
            dtype=number,
            quantization_config=bnb,
            device_map={"": place} if bnb or place.type != "cpu" else None,
            **further,
        )
    if bnb:
        keep_narrow_layers(llm)
        _warn_of_joined_experts(llm)
    # What the user wrote, not the cache folder behind it: PEFT records this as the adapter's base.
    llm.name_or_path = llm.config.name_or_path = name
    return llm


def _require_readable(name: str, config: PretrainedConfig, packed: str, *, is_asked: bool) -> None:
    if is_asked:
        raise ConfigError(
            f"{name!r} is packed already ({packed}), and cannot be quantized once more: leave "
            "quantization out (on the command line --bits)"
        )
    if family_of_config(config) is not None:
        raise ModelError(
            f"{name!r} is packed ({packed}), and weights of a {config.model_type!r} model that "
            "was published in another layout cannot be turned into it packed: take the unpacked "
            "checkpoint with quantization=dict(bits=4)"
        )


def _is_meta(device: torch.device | str) -> bool:
    return torch.device(device).type == "meta"


def _with_weights(
    model_class: Any, name: str, may_differ: Callable[[str, str], bool], **settings: Any
) -> PreTrainedModel:
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
        f"  {what}: {some(sorted(wrong))}"
        for what, key in (
            ("missing", "missing_keys"),
            ("extra", "unexpected_keys"),
            ("misshapen", "mismatched_keys"),
        )
        if (wrong := [_shown(one) for one in found[key] if not may_differ(what, str(one))])
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
