"""A language model with a head of one number: a reward or cost model.

    checkpoint of a language model    its layers, and a new head: N(0, 1 / (D + 1))
    checkpoint of a reward model      both

It is transformers' own `…ForSequenceClassification(num_labels=1)`, whose head is `score.weight`
[1, D] without a bias, so that plain transformers loads what is saved. The head stays fp32.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as KNOWN,
)

from xtune.errors import ModelError
from xtune.models.families import family_of_config
from xtune.models.families.base import Family
from xtune.models.head import ScoreHead, score_head
from xtune.models.loading import (
    SCORES,
    is_reward_model,
    load_as,
    load_config,
    published_fields,
)
from xtune.models.quantization import Quantization
from xtune.registry import MODELS

__all__ = ["classifier_of", "is_classifier", "load_classifier"]

_HEAD = "score"
# What transformers and PEFT ask a quantized model
_OF_QUANTIZATION = (
    "hf_quantizer",
    "is_loaded_in_4bit",
    "is_loaded_in_8bit",
    "is_quantized",
    "quantization_method",
)


def is_classifier(llm: PreTrainedModel) -> bool:
    """Tell whether a transformers model scores texts and writes none.

    Args:
        llm: without an adapter, or the base inside one.
    """
    return type(llm).__name__.endswith(SCORES)


@MODELS.register_module(name="SequenceClassifier")
def load_classifier(
    pretrained_model_name_or_path: str,
    *,
    dtype: str = "auto",
    quantization: Quantization | None = None,
    device: torch.device | str | None = None,
) -> PreTrainedModel:
    """Load a reward model, or a language model whose head is replaced by a new one of one number.

    Args:
        pretrained_model_name_or_path: as `load_model` takes it.
        dtype: of the layers' weights, as `load_model` takes it; the head is fp32.
        quantization: of the layers.
        device: where to.

    Raises:
        ModelError: as of `load_model`; or transformers has no such class for the family.
        ConfigError: an unknown dtype or quantization setting.
    """
    name = pretrained_model_name_or_path
    config = load_config(name, offline=torch.device(device or "cpu").type == "meta")
    family = _with_own_layout(name, config)
    _require_class(name, config, family)
    if family is not None:
        language_model = load_as(
            name,
            family.model_class(config),
            config,
            dtype=dtype,
            quantization=quantization,
            device=device,
        )
        llm = _of_layers(language_model, name)
        _put_head(llm, name, is_new=True)
        return llm
    _forget_layout(config)
    config.num_labels = 1
    # What a language model has next to its layers is its own head, by whatever name
    layers = f"{_prefix_of(config)}."
    of_language = not is_reward_model(config)

    def may_differ(what: str, key: str) -> bool:
        if what == "missing":
            return of_language and key == f"{_HEAD}.weight"
        return of_language and what == "extra" and not key.startswith(layers)

    with _without_report():
        llm = load_as(
            name,
            AutoModelForSequenceClassification,
            config,
            dtype=dtype,
            quantization=quantization,
            device=device,
            may_differ=may_differ,
            kept=[_HEAD],
        )
    _put_head(llm, name, is_new=of_language)
    return llm


@contextmanager
def _without_report() -> Iterator[None]:
    """Let transformers warn of no weight that differs: here those that may not are errors."""
    log = logging.getLogger("transformers")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _with_own_layout(name: str, config: PretrainedConfig) -> Family | None:
    """The family that reads the checkpoint, where transformers does not."""
    family = family_of_config(config)
    return family if family is not None and family.reads(published_fields(name)) else None


def _require_class(name: str, config: PretrainedConfig, family: Family | None) -> None:
    """Refuse a family that plain transformers could not load the reward model of."""
    kind = config.get_text_config().model_type
    if family is not None and "transformers" not in family.layouts(config):
        raise ModelError(
            f"{name!r} ({type(family).__name__}) is published with code of its own, and has no "
            "class of transformers with a score. Take a model of another family: Llama, Qwen, "
            "Mistral, Gemma, Phi-3"
        )
    if config.model_type not in KNOWN:
        raise ModelError(
            f"transformers has no {SCORES} class for {kind!r} ({name!r}), so that nobody could "
            "load the reward model. Take a model of another family: Llama, Qwen, Mistral, Gemma, "
            "Phi-3, GPT-NeoX …"
        )


def classifier_of(language_model: PreTrainedModel) -> PreTrainedModel:
    """Return a model that scores, with a new head, made of a language model's layers.

    Args:
        language_model: in transformers' own layout; its config is changed.

    Raises:
        ModelError: transformers has no class with a score for the family.
    """
    name = str(language_model.name_or_path)
    _require_class(name, language_model.config, family_of_config(language_model.config))
    llm = _of_layers(language_model, name)
    _put_head(llm, name, is_new=True)
    return llm


def _of_layers(language_model: PreTrainedModel, name: str) -> PreTrainedModel:
    """A classifier of transformers, with the layers that a family has read from its own layout."""
    import transformers

    config = language_model.config
    _forget_layout(config)
    config.num_labels = 1
    made = getattr(transformers, KNOWN[config.model_type])
    with torch.device("meta"):
        llm = made(config)
    prefix = _prefix_of(config)
    setattr(llm, prefix, getattr(language_model, prefix))
    if (place := language_model.get_input_embeddings().weight.device).type != "meta":
        llm.score.to_empty(device=place)
    for said in _OF_QUANTIZATION:
        if hasattr(language_model, said):
            setattr(llm, said, getattr(language_model, said))
    llm.name_or_path = config.name_or_path = name
    return llm.train(language_model.training)


def _forget_layout(config: PretrainedConfig) -> None:
    """Take out what says that the model is of a layout that has no place for the head."""
    for field in ("xtune_family", "original_config"):
        if hasattr(config, field):
            delattr(config, field)


def _prefix_of(config: PretrainedConfig) -> str:
    """The attribute that holds the layers: 'model', 'transformer' …"""
    import transformers

    return str(getattr(transformers, KNOWN[config.model_type]).base_model_prefix)


def _put_head(llm: Any, name: str, *, is_new: bool) -> None:
    """Put a head in fp32 in the place of the one that transformers has made."""
    old = score_head(llm)
    if not isinstance(old, nn.Linear) or old.bias is not None:
        raise ModelError(
            f"{type(llm).__name__} ({name!r}) has no plain `score`: a reward model of it cannot "
            "be trained here. Take a model of another family: Llama, Qwen, Mistral, Gemma, Phi-3"
        )
    weight = old.weight.detach()
    if is_new and not weight.is_meta:  # (Stiennon et al., 2020, arXiv 2009.01325)
        drawn = torch.empty(weight.shape).normal_(std=1 / math.sqrt(weight.shape[1] + 1))
        weight = drawn.to(weight.device)
    with torch.device("meta"):
        head = ScoreHead(weight.shape[1], weight.shape[0], bias=False)
    head.weight = nn.Parameter(weight.float())
    llm.score = head.train(llm.training)
    # Packs have no padding, and a reward model has another padding token than what it is made of:
    # the row of neither is to be left without a gradient.
    llm.get_input_embeddings().padding_idx = None
