"""Checkpoints and tokenizers from a hub id, a folder, a .gguf file or an alias.

load_config(name)      the architecture alone
load_tokenizer(name)   the tokenizer, with a pad token
load_model(name)       the weights; every missing, extra or misshapen one is an error
name_for_others(name)  the same model for programs that know folders and hub ids alone
"""

from __future__ import annotations

import copy
import functools
import json
import logging
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from xtune.errors import ModelError, NoSuchModelError, XtuneError, did_you_mean
from xtune.hub import WITHOUT_NETWORK, cached_folder, why_not
from xtune.local_path import is_path, not_there
from xtune.models.families import (
    CheckpointFiles,
    Family,
    all_families,
    family_of_config,
    family_of_fields,
    translated_config,
)
from xtune.models.families.llama_tokenizer import with_its_own_spaces
from xtune.models.gguf import converted_gguf, is_gguf, no_progress_in_logs
from xtune.models.modelscope import MODELSCOPE, fetched
from xtune.models.precision import choose_precision, parse_dtype
from xtune.models.quantization import Quantization, pack_shapes, quantization_config
from xtune.models.vocabulary import add_tokens
from xtune.models.vocabulary_files import missing_file, name_tokens, spoilt_file
from xtune.registry import MODELS

__all__ = ["load_config", "load_model", "load_tokenizer", "name_for_others", "published_fields"]

logger = logging.getLogger(__name__)

_PUBLISHED = Path(__file__).with_name("published_configs")


def load_tokenizer(
    pretrained_model_name_or_path: str,
    *,
    trust_remote_code: bool = False,
    added_tokens: list[str] | None = None,
) -> PreTrainedTokenizerBase:
    """Load a tokenizer; one without a pad token pads with its end-of-text token.

    Padding is masked by length, never by token id, so the shared id does no harm.

    Args:
        pretrained_model_name_or_path: a hub id, a folder, a .gguf file or an alias.
        trust_remote_code: run the checkpoint's own Python code.
        added_tokens: tokens to add, those it has already left out; see `vocabulary`.

    Raises:
        ModelError: nothing is there, or nothing transformers can read; an empty token.
    """
    # An adapter's folder has a tokenizer and no model.
    source = _source(pretrained_model_name_or_path, "tokenizer_config.json")
    try:
        files = CheckpointFiles(source)
        family = None if trust_remote_code else family_of_fields(files.json("config.json"))
        _require_vocabulary(Path(source), family, trust_remote_code=trust_remote_code)
        tokenizer = None if family is None else family.tokenizer(files)
        if family is not None and tokenizer is None and files.path("tokenizer.json"):
            # AutoTokenizer would read the config too, of a kind that transformers does not know.
            tokenizer = PreTrainedTokenizerFast.from_pretrained(source)
            tokenizer = with_its_own_spaces(tokenizer, files)
        if tokenizer is None:
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=trust_remote_code)
            tokenizer = with_its_own_spaces(tokenizer, files)
    except Exception as error:  # what `tokenizers` raises is of no type of its own
        if Path(source).is_dir() and (spoilt := spoilt_file(Path(source))):
            raise ModelError(spoilt) from error
        if isinstance(error, XtuneError):
            raise
        raise _explained(pretrained_model_name_or_path, "tokenizer", error) from error
    if eos := _own_eos(Path(source), tokenizer):
        tokenizer.eos_token = eos
    if not files.path("tokenizer_config.json"):
        name_tokens(tokenizer, files)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    add_tokens(tokenizer, added_tokens or ())
    return tokenizer


def _require_vocabulary(folder: Path, family: Family | None, *, trust_remote_code: bool) -> None:
    """Refuse a folder of which transformers would make an empty tokenizer, or half of one.

    Raises:
        ModelError: a file is missing; which, and what to do.
    """
    if trust_remote_code or not folder.is_dir():  # own code has files of its own; a hub has all
        return
    own = [
        name
        for name in (family.original_files if family else ())
        if name.endswith((".model", ".tiktoken"))
    ]
    knows = family is not None and family.knows_how_ranks_split
    if missing := missing_file(folder, own=own, knows_how_ranks_split=knows):
        raise ModelError(missing)


def _own_eos(folder: Path, tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The tokenizer's own end token, where a run has written another for other programs.

    See xtune/checkpoint/endings.py. The own one ends plain texts, and some dialogues.
    """
    try:
        notes = json.loads((folder / "xtune.json").read_text(encoding="utf-8"))
        eos = notes.get("eos_token")
    except (OSError, ValueError, AttributeError):  # none, or a broken one: the loading says so
        return None
    return eos if isinstance(eos, str) and eos in tokenizer.get_vocab() else None


def name_for_others(name: str) -> str:
    """Return what PEFT or a server opens the model `name` by: a folder's whole path, or a hub id.

    Args:
        name: what `load_model` takes. An alias, a .gguf file and a model of ModelScope become the
            folder that they were converted or fetched into.
    """
    try:
        source = _source(name)
    except ModelError:  # moved since it was loaded
        return name
    return str(Path(source).resolve()) if Path(source).is_dir() else source


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
    source = _source(pretrained_model_name_or_path)
    try:
        if not trust_remote_code:
            fields, _ = PretrainedConfig.get_config_dict(source)
            if (config := translated_config(fields)) is not None:
                return config
        return AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _explained(pretrained_model_name_or_path, "config", error) from error


def published_fields(pretrained_model_name_or_path: str) -> dict[str, Any]:
    """Return a checkpoint's config.json as published; from what comes with xtune if it is there.

    Raises:
        ModelError: it is not there, and cannot be fetched.
    """
    if fields := _shipped_fields(pretrained_model_name_or_path):
        return fields
    source = _source(pretrained_model_name_or_path)
    try:
        fields, _ = PretrainedConfig.get_config_dict(source)
    except (OSError, ValueError) as error:
        raise _explained(pretrained_model_name_or_path, "config", error) from error
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
        _warn_of_joined_experts(llm)
    # What the user wrote, not the cache folder behind it: PEFT records this as the adapter's base.
    llm.name_or_path = llm.config.name_or_path = pretrained_model_name_or_path
    return llm


def _with_weights(model_class: Any, name: str, **settings: Any) -> PreTrainedModel:
    no_progress_in_logs()
    load = functools.partial(
        model_class.from_pretrained,
        _source(name),
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
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise _explained(name, "weights", error) from error
    llm, found = loaded
    problems = [
        f"  {what}: {_some(sorted(map(_shown, found[key])))}"
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


def _some(items: list[str], most: int = 5) -> str:
    more = f", and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def _source(name: str, *also_enough: str) -> str:
    """The folder, with config.json or a file that is `also_enough`, or the hub id to load from."""
    if is_gguf(name):
        return str(converted_gguf(name))
    if name.startswith(MODELSCOPE):
        return str(fetched(name))
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not any((folder / mark).is_file() for mark in ("config.json", *also_enough)):
            inside = sorted(path.name for path in folder.iterdir())
            raise ModelError(
                f"the folder {name!r} has no config.json, so it is no checkpoint "
                f"(inside: {_some(inside) or 'nothing'})"
            )
        return str(folder)
    if folder.is_file():
        raise ModelError(f"{name!r} is a file; give the folder it is in, or a .gguf file")
    if is_path(name):
        raise NoSuchModelError(not_there(name))
    if reason := why_not(name):
        # What was fetched before needs no network; its folder is read without a request.
        if kept := cached_folder(name):
            return kept
        raise ModelError(f"{name!r} is no folder here, and {reason}")
    return name


def _explained(name: str, what: str, error: Exception) -> ModelError:
    """Say what is wrong with a checkpoint in words that name the next step."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    file = Path(name).expanduser() / "config.json"
    if file.is_file():
        try:
            kind = json.loads(file.read_text(encoding="utf-8")).get("model_type")
        except (ValueError, AttributeError) as broken:
            return ModelError(f"{file} is not a JSON object: {broken}")
        known = {
            *CONFIG_MAPPING_NAMES,
            *(t for f in all_families().values() for t in f.model_types),
        }
        if kind not in known:
            return ModelError(
                f"{file} has the unknown model_type {kind!r}"
                f"{did_you_mean(str(kind), known) or '.'} What is read without foreign code: "
                "xtune list-models. A checkpoint with its own code needs "
                "trust_remote_code=True"
            )
    elif isinstance(error, OSError):
        return ModelError(
            f"{name!r} is no folder here, and as a hub id it cannot be fetched: "
            f"{_first_line(error)}. {WITHOUT_NETWORK}"
        )
    return ModelError(f"cannot load the {what} of {name!r}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(". ")
