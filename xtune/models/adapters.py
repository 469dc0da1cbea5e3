"""PEFT adapters: attach a new one, load a saved one, merge one into its base.

Adapter weights are fp32 whatever the base is in: bf16 would lose updates smaller than 1/256 of
a weight.
"""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import (
    IA3Config,
    LNTuningConfig,
    LoraConfig,
    PeftConfig,
    PeftModel,
    get_peft_model,
)
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import PreTrainedModel

from xtune.config.adapters import refusal
from xtune.errors import AdapterError, ModelError
from xtune.models.adapter_names import linear_names, misnamed, taken_by_their_ends
from xtune.models.adapter_shapes import difference, fitting_shapes, stored_shapes
from xtune.models.fingerprint import base_fingerprint, same_base
from xtune.models.fp32_weights import train_in_fp32
from xtune.models.packed.quantizer import unpack_linears
from xtune.models.reward_adapters import name_what_is_saved, require_same_task
from xtune.models.tied import is_tied, join_equal, part_adapted, share_trained, with_both_whole
from xtune.models.tokenizer import load_tokenizer
from xtune.models.vocabulary import grow_vocabulary, rows_needed
from xtune.registry import ADAPTERS, build

__all__ = [
    "attach_adapter",
    "build_adapter",
    "load_adapter",
    "merge_adapter",
    "quiet_peft",
    "without_idle_adapter",
]

logger = logging.getLogger(__name__)

ADAPTERS.register_module(name="LoraConfig", module=LoraConfig)

_WEIGHTS = "adapter_model.safetensors"
# What PEFT raises where a config and a model do not go together
_UNFIT = (ValueError, TypeError, KeyError, AttributeError, NotImplementedError, RuntimeError)


def build_adapter(llm: PreTrainedModel, settings: Mapping[str, Any]) -> PeftConfig:
    """Make the PEFT config that a sheet's `model.adapter` describes, for `llm`.

    Args:
        llm: with weights or on 'meta'.
        settings: `dict(type='LoraConfig', …)`. 'all-linear' may stand with `layers_to_transform`.

    Raises:
        AdapterError: arguments that PEFT does not take together.
    """
    own = dict(settings)
    everywhere = str(own.get("target_modules", "all-linear")).lower() == "all-linear"
    if own.get("layers_to_transform") is not None and everywhere:
        own["target_modules"] = linear_names(llm)  # PEFT takes layers with a list only
    try:
        return build(ADAPTERS, own)
    except (ValueError, TypeError, ImportError) as error:
        raise AdapterError(f"the adapter's settings do not go together: {error}") from error


def attach_adapter(llm: PreTrainedModel, config: PeftConfig) -> PeftModel:
    """Freeze `llm` and put a new adapter on it; with LoRA its output does not change yet.

    Args:
        llm: changed in place.
        config: no `target_modules` means every linear layer but the head; for IA3 and LNTuning,
            PEFT's own choice for the family. Where the head and the embedding are one weight,
            `modules_to_save` of one trains both, and any other adapter on one leaves the other as
            it is.

    Raises:
        AdapterError: names that the model does not have, a method that would not train or load
            rightly here, or another bad setting.
    """
    own: Any = copy.deepcopy(config)  # PEFT writes the base's name and more into it
    quantized = getattr(llm, "quantization_method", None) is not None
    if found := refusal(type(own), vars(own), quantized=quantized):
        raise AdapterError(f"{type(own).__name__}: {found.reason}. {found.instead}")
    own.task_type = own.task_type or "CAUSAL_LM"
    by_family = isinstance(own, IA3Config | LNTuningConfig)
    if getattr(own, "target_modules", "all-linear") is None and not by_family:
        own.target_modules = "all-linear"
    own = with_both_whole(llm, own)
    if wrong := misnamed(own, llm):
        raise AdapterError(
            f"the adapter does not fit {llm.name_or_path!r}:\n"
            + "\n".join(f"  {one.argument}: {one.message}{one.hint}" for one in wrong)
        )
    on_meta = llm.device.type == "meta"  # then an adapter is not drawn to be dropped
    for entry, others in taken_by_their_ends(own, llm).items():
        logger.log(
            logging.DEBUG if on_meta else logging.WARNING,
            "modules_to_save=[%r] trains %s too: PEFT compares ends of names. For the one alone "
            "write its name with a part before it, as in 'model.norm'",
            *(entry, " and ".join(others)),
        )
    try:
        with quiet_peft():
            peft_model = get_peft_model(llm, own, low_cpu_mem_usage=on_meta)
    except _UNFIT as error:
        if on_meta and _needs_values(error):
            raise ModelError(f"{type(own).__name__} cannot be drafted: {error}") from error
        raise AdapterError(f"the adapter does not fit {llm.name_or_path!r}: {error}") from error
    _require_mergeable(peft_model)
    if tied := getattr(own, "target_modules_to_tie", None):
        raise AdapterError(
            f"ensure_weight_tying=True makes the adapter of {' and '.join(sorted(tied))} from "
            "views of the embedding's: a step would move each twice, or, in 16 bits, apart. Leave "
            "it out, and the adapter changes only the layers that target_modules names; or train "
            "the tied weight whole by modules_to_save"
        )
    if not any(parameter.requires_grad for parameter in peft_model.parameters()):
        raise AdapterError(
            f"{type(own).__name__} with these settings trains no weight of {llm.name_or_path!r}"
        )
    _make_loadable(peft_model)
    name_what_is_saved(peft_model)
    train_in_fp32(peft_model)
    share_trained(llm)
    return peft_model


def _require_mergeable(peft_model: PeftModel) -> None:
    """Refuse an adapter on layers that it could never be merged into."""
    without_bias: list[str] = []
    for path, module in peft_model.named_modules():
        if not isinstance(module, BaseTunerLayer):
            continue
        name, base = path.rpartition(".")[2], module.get_base_layer()
        if hasattr(base, "effective_weight"):
            raise AdapterError(
                f"{name} divides its rows by their length, so that what is added to it could "
                f"not be merged: take it out of target_modules, or train it whole: "
                f"modules_to_save=[{name!r}]"
            )
        if any(getattr(module, "lora_bias", {}).values()) and getattr(base, "bias", None) is None:
            without_bias.append(name)
    if without_bias:
        names = ", ".join(dict.fromkeys(without_bias))
        raise AdapterError(
            f"lora_bias=True trains a bias, and {names} have none in the base that it could be "
            "merged into: leave lora_bias out, or name only layers with a bias in target_modules"
        )


def _make_loadable(peft_model: PeftModel) -> None:
    """Write into IA3's config what PEFT wants when it reads it: feedforward layers are targets."""
    config: Any = peft_model.peft_config["default"]
    if isinstance(config, IA3Config) and not isinstance(config.target_modules, str):
        ends, targets = config.feedforward_modules, config.target_modules or ()
        if ends is not None and not isinstance(ends, str):
            config.feedforward_modules = [
                target
                for target in targets
                if any(f".{target}".endswith(f".{end}") for end in ends)
            ]


@contextmanager
def without_idle_adapter(llm: Any) -> Iterator[None]:
    """Leave an adapter out while it adds nothing, which saves a third of the time of an answer.

    It adds nothing if it is LoRA before its first step, whose B is zero. Otherwise nothing changes.

    Args:
        llm: a model, with a PEFT adapter or without, whose weights are whole in this process.
    """
    configs = getattr(llm, "peft_config", {}).values()
    plain = bool(configs) and all(
        isinstance(config, LoraConfig)
        and config.init_lora_weights is True
        and not (config.use_dora or config.modules_to_save or config.trainable_token_indices)
        for config in configs
    )
    last = (
        [weight for name, weight in llm.named_parameters() if ".lora_B." in name] if plain else []
    )
    if not last or any(weight.any() for weight in last):
        yield
        return
    with llm.disable_adapter():
        yield


def load_adapter(
    llm: PreTrainedModel | PeftModel,
    folder: str | Path,
    *,
    is_trainable: bool = False,
    name: str = "default",
) -> PeftModel:
    """Put a saved adapter on `llm`, if it was trained on that model.

    If the training added tokens, `llm` first gets their rows, as the training's base did.

    Args:
        llm: changed in place; left as it was, but for new rows, if the adapter is refused. On
            'meta' only shapes are read. A model with an adapter gets another, and uses it.
        folder: with adapter_config.json, adapter_model.safetensors and, if xtune wrote it,
            xtune.json.
        is_trainable: continue training it.
        name: of the adapter within the model.

    Raises:
        AdapterError: no adapter is there; or another base model, another vocabulary, or
            layers of other names or shapes, with the reason.
    """
    folder = Path(folder).expanduser()
    for part in ("adapter_config.json", _WEIGHTS):
        if not (folder / part).is_file():
            raise AdapterError(
                f"{str(folder)!r} holds no adapter: {part} is missing. After training it is "
                "work_dirs/<name>/checkpoints/latest/adapter"
            )
    config = PeftConfig.from_pretrained(str(folder))
    base: Any = llm.get_base_model() if isinstance(llm, PeftModel) else llm
    require_same_task(base, config, folder)
    if is_trainable and (found := refusal(type(config), vars(config))):
        raise AdapterError(f"{str(folder)!r} cannot be trained further: {found.reason}")
    _refuse_other_base(base, folder)
    stored = stored_shapes(folder / _WEIGHTS)
    drafted, problem = True, ""
    try:
        problem = difference(stored, *fitting_shapes(_draft(base, folder)))
    except _UNFIT as error:
        drafted = not _needs_values(error)
        if drafted:
            raise AdapterError(f"the adapter in {str(folder)!r} does not fit: {error}") from error
    try:
        with quiet_peft():
            if not problem:
                peft_model = _loaded(llm, folder, config, name, is_trainable=is_trainable)
            if not drafted:
                problem = difference(stored, *fitting_shapes(peft_model))
    except _UNFIT as error:
        raise AdapterError(f"the adapter in {str(folder)!r} does not fit: {error}") from error
    if problem:
        raise AdapterError(
            f"the adapter in {str(folder)!r} was trained on another model than "
            f"{base.name_or_path!r}: {problem}"
        )
    name_what_is_saved(peft_model)
    train_in_fp32(peft_model)
    share_trained(base)
    return peft_model


def merge_adapter(peft_model: PeftModel) -> PreTrainedModel:
    """Add the adapter to its base's weights and return the plain model; logits stay the same.

    Weights that were published packed (GPTQ, AWQ) are unpacked, and added to in the model's dtype.

    A head that is the embedding gets a weight of its own if the adapter changes only one of them;
    the config then says that they are not tied.

    Raises:
        AdapterError: the base is quantized, so that adding to it would round the sum; or a method
            whose change is none of weights.
    """
    base: Any = peft_model.get_base_model()
    unpack_linears(base)
    if getattr(base, "quantization_method", None) is not None:
        raise AdapterError(
            "an adapter cannot be merged into a quantized base without losing precision; load "
            "the base without quantization, then the adapter, then merge"
        )
    was_tied = is_tied(base)
    part_adapted(base)
    try:
        with quiet_peft():
            merged = peft_model.merge_and_unload()
    except _UNFIT as error:
        kind = type(peft_model.active_peft_config).__name__
        raise AdapterError(
            f"an adapter of {kind} cannot be merged into this base ({error}); use it as it is: "
            "xtune chat MODEL --adapter DIR"
        ) from error
    join_equal(merged, was_tied=was_tied)
    return merged


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Say nothing of what PEFT warns of and xtune has seen to, for the `with` block."""
    # PEFT asks transformers 5 a question by the name it had in transformers 4; and for joined
    # experts it adds a pattern itself, and finds that nothing matches it. Tied weights are ours to
    # keep right, see `xtune.models.tied`.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*tie_word_embeddings")
        warnings.filterwarnings("ignore", ".*targeted layer .* has no bias")  # is refused
        warnings.filterwarnings("ignore", ".*ensure_weight_tying")
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        warnings.filterwarnings("ignore", r"(?s).*_pattern keys .*gate_up_proj", RuntimeWarning)
        yield


def _refuse_other_base(llm: PreTrainedModel, folder: Path) -> None:
    """Compare with what xtune noted; `llm` grows if the training's base did."""
    file = folder / "xtune.json"
    if not file.is_file():  # made by another tool: shapes have to do
        return
    try:
        facts: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        growth = facts.get("vocabulary") or {}
        pieces = {int(number): spelling for number, spelling in growth.get("pieces", {}).items()}
    except (ValueError, AttributeError) as error:
        raise AdapterError(f"{file} is damaged: {error}") from error
    trained_on, given = facts.get("base_model"), llm.name_or_path
    way_out = (
        "Give the model it was trained on: if that was made with xtune expand-vocab, the folder "
        "that this wrote"
    )
    rows, multiple = llm.config.get_text_config().vocab_size, growth.get("pad_to_multiple_of")
    grown = rows_needed(rows, pieces, multiple)
    if facts.get("base_vocab_size") not in (None, grown):
        after = f", {grown} with the {len(pieces)} tokens the training added" if pieces else ""
        raise AdapterError(
            f"the adapter in {str(folder)!r} was trained on {trained_on!r} with a vocabulary of "
            f"{facts['base_vocab_size']}; {given!r} has {rows}{after}. {way_out}"
        )
    if other := _other_token(given, folder):
        raise AdapterError(
            f"the adapter in {str(folder)!r} was trained on {trained_on!r} with another vocabulary "
            f"of the same size than {given!r} has: {other}. {way_out}"
        )
    if growth:
        init = growth.get("init", "subtokens")
        grow_vocabulary(llm, pieces, init=init, pad_to_multiple_of=multiple)
    fingerprint = facts.get("base_fingerprint")
    if fingerprint and not same_base(fingerprint, base_fingerprint(llm)):
        raise AdapterError(
            f"the adapter in {str(folder)!r} was trained on {trained_on!r}; {given!r} has the "
            "same vocabulary but is another model (its architecture, embedding or head "
            "differs). "
            "Give the model it was trained on"
        )


def _other_token(base: str | None, folder: Path) -> str:
    """The first id that means one token in the training and another in `base`, in words.

    Empty if there is none, and where one of the two has no tokenizer next to it.
    """
    if not (folder / "tokenizer_config.json").is_file() or not base:
        return ""
    try:
        own, trained = (load_tokenizer(name).get_vocab() for name in (base, str(folder)))
    except ModelError:
        return ""
    tokens = {number: token for token, number in own.items()}
    for token, number in sorted(trained.items(), key=lambda item: item[1]):
        if tokens.get(number, token) != token:
            return f"id {number} is {token!r} in the training and {tokens[number]!r} in the model"
    return ""


def _loaded(
    llm: Any, folder: Path, config: PeftConfig, name: str, *, is_trainable: bool
) -> PeftModel:
    if isinstance(llm, PeftModel):
        llm.load_adapter(str(folder), name, is_trainable=is_trainable)
        llm.set_adapter(name)
        return llm
    if llm.device.type != "meta":
        return PeftModel.from_pretrained(llm, str(folder), name, is_trainable=is_trainable)
    config.inference_mode = not is_trainable
    return PeftModel(llm, config, low_cpu_mem_usage=True)


def _draft(llm: PreTrainedModel, folder: Path) -> PeftModel:
    """The adapter of a folder on a copy of `llm` without weights."""
    with torch.device("meta"), quiet_peft():
        config = PeftConfig.from_pretrained(str(folder))
        return PeftModel(type(llm)(copy.deepcopy(llm.config)), config)


def _needs_values(error: Exception) -> bool:
    """Whether a method looks at weights while it is set up, so that none on 'meta' will do."""
    return isinstance(error, RuntimeError) and "meta" in str(error).lower()
