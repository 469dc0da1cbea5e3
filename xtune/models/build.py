"""From the sheet's `model` dict to a model that trains."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from xtune.config.signatures import Form
from xtune.errors import AdapterError, ConfigError, ModelError
from xtune.models.algorithms.base import Algorithm
from xtune.models.algorithms.saved import require_saved
from xtune.models.generation import base_of
from xtune.models.loading import load_model
from xtune.models.packed.quantizer import is_packed
from xtune.models.precision import Precision, choose_precision
from xtune.models.self_test import check_packed_logits, check_slices
from xtune.models.sequence_classifier import is_classifier, load_classifier
from xtune.models.vocabulary import Pieces, grow_vocabulary, train_new_rows
from xtune.parallel.sequence import UNSHARED, SequenceGroup
from xtune.registry import MODELS, build, resolve

__all__ = ["build_model"]


def build_model(
    cfg: Mapping[str, Any],
    *,
    device: torch.device | str | None = None,
    precision: Precision | None = None,
    pieces: Pieces | None = None,
    grown: bool = False,
    as_stored: bool = False,
    sequence: SequenceGroup = UNSHARED,
) -> Algorithm:
    """Build the algorithm that `cfg` describes: its models first, then its adapter, then itself.

    Every dict in `cfg` with a `type` is a model, such as `ref=dict(type='CausalLM', …)`: it goes to
    the device, in the format and with the new tokens that `llm` has, and the algorithm is given
    it under its name. Whether it is trained is the algorithm's to say. Where the algorithm's
    parameter is annotated with another registry, it is built from that, such as a loss.

    `cfg['vocabulary']`, `dict(init='subtokens', pad_to_multiple_of=None)`, says how rows for new
    tokens begin; an adapter trains them too.

    With dtype='auto' a frozen base takes the precision's `weight_dtype`; weights that are all
    trained are fp32 masters.

    `cfg['adapter_folder']` is an adapter to train further, instead of a new one. In a resumed run
    it is the checkpoint's, and `cfg['adapter_start']` the one that the run began with,
    `dict(folder=…, sha256=…)`: an algorithm that is held against its start takes that.

    With `cfg['precompute_reference']` the batches have what `ref` says, and it is not built.

    Args:
        cfg: `dict(type='SupervisedFinetune', llm=dict(type='CausalLM', …), adapter=dict(…), …)`.
        device: where to; default the CPU. 'meta' builds all of it without weights.
        precision: of the run; default what `device` is fastest in.
        pieces: the tokens that the tokenizer has and the checkpoint has not; see
            `open_vocabulary`.
        grown: whether `llm` has them already, as a checkpoint's whole model has.
        as_stored: leave the weights in the checkpoint's dtype, read through a memory map, for a
            strategy that casts its own part of them.
        sequence: the processes that share each row of tokens with this one; all build the model.

    Raises:
        ModelError: the checkpoint cannot be loaded, or its family cannot train on packs, or not
            on shared rows; what `cfg['type']` names is no Algorithm.
        ConfigError: a name or argument that does not exist.
        AdapterError: an adapter that does not fit; tokens added to one that is trained further.
    """
    if (require := getattr(resolve(MODELS, cfg["type"]), "require_settings", None)) is not None:
        require(cfg)
    place = torch.device(device or "cpu")
    settings = dict(cfg)
    llm_settings = dict(settings.pop("llm"))
    adapter = settings.pop("adapter", None)
    folder = settings.pop("adapter_folder", None)
    adapter = adapter if folder is None else None
    start = settings.pop("adapter_start", None)
    vocabulary = settings.pop("vocabulary", None) or {}
    if settings.get("precompute_reference"):
        settings.pop("ref", None)
    load = partial(
        _load,
        place=place,
        precision=precision,
        all_is_trained=adapter is folder is None,
        as_stored=as_stored,
    )
    llm = load(llm_settings)
    if adapter is folder is None and is_packed(llm):
        raise ConfigError(
            f"model.llm: the weights of {llm.name_or_path!r} are packed in a few bits, and cannot "
            "be trained: train an adapter on them (model.adapter)"
        )
    rooms = {one.argument: one.registry for one in Form(resolve(MODELS, cfg["type"])).placed(cfg)}
    for name, further in settings.items():
        if not isinstance(further, Mapping) or "type" not in further:
            continue
        room = rooms.get(name, MODELS)
        if room is not MODELS:
            settings[name] = build(room, further)
            continue
        settings[name] = load(further)
        grow_vocabulary(settings[name], pieces or {}, **vocabulary)
    if folder is not None:
        if pieces:
            raise AdapterError(
                f"{len(pieces)} of added_tokens are not in the adapter in {str(folder)!r}, which "
                "has no rows for them: leave them out, or train what xtune export makes of it"
            )
        from xtune.models.adapters import load_adapter  # imports PEFT

        model = build(MODELS, settings, llm=load_adapter(llm, folder, is_trainable=True))
    else:
        grow_vocabulary(llm, {} if grown else pieces or {}, **vocabulary)
        peft_config = None
        if adapter:
            from xtune.models.adapters import build_adapter  # imports PEFT

            peft_config = train_new_rows(llm, build_adapter(llm, adapter), pieces or {})
        model = build(MODELS, settings, llm=llm, adapter=peft_config)
    if not isinstance(model, Algorithm):
        raise ModelError(
            f"model.type={cfg['type']!r} makes a {type(model).__name__}, which does not say what "
            "it trains: name an algorithm, such as SupervisedFinetune, or derive yours from "
            "xtune.models.Algorithm"
        )
    _require_head(model)
    if start is not None and (held := getattr(model, "start", None)) is not None:
        held.load(**start)
    require_saved(model)
    if place.type != "meta":
        check_packed_logits(model)
        check_slices(model, sequence)
    return model


def _require_head(model: Algorithm) -> None:
    """Refuse a language model to be trained on scores, and a reward model to be trained on words.

    `check` finds it before; a loader of the user's own is not known there.
    """
    if is_classifier(base_of(model.language_model)) == model.trains_scores:
        return
    does, wanted = (
        ("scores", "SequenceClassifier") if model.trains_scores else ("writes", "CausalLM")
    )
    raise ConfigError(
        f"{type(model).__name__} trains a model that {does} answers: set model.llm.type={wanted!r}"
    )


def _load(
    cfg: Mapping[str, Any],
    *,
    place: torch.device,
    precision: Precision | None,
    all_is_trained: bool,
    as_stored: bool,
) -> Any:
    """Build one of the models: a checkpoint on the run's device, in its format; a user's own."""
    settings = dict(cfg)
    if resolve(MODELS, settings["type"]) in (load_model, load_classifier):
        if settings.get("dtype", "auto") == "auto":
            precision = precision or choose_precision("cpu" if place.type == "meta" else place)
            number = torch.float32 if all_is_trained else precision.weight_dtype
            settings["dtype"] = "stored" if as_stored else str(number).removeprefix("torch.")
        settings["device"] = place
        quantization = settings.get("quantization")
        if quantization and quantization.get("bits", 4) == 4 and precision:
            # The run's device computes, which need not be the one that the weights are loaded on.
            given = quantization.get("compute_dtype", "auto")
            chosen = precision.name if given == "auto" else given
            settings["quantization"] = {**quantization, "compute_dtype": chosen}
    return build(MODELS, settings)
