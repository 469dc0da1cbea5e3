"""Rules that no type expresses: ranges, files that must be there, values that fit together."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from xtune import registry
from xtune.config import adapters, learning
from xtune.config.deepspeed import contradictions
from xtune.config.strategies import Traits, divides_state, sharding_of_sheet
from xtune.errors import ConfigError
from xtune.local_path import misspells_a_file, not_there
from xtune.names import Kind, hub_id_in, is_path, kind_of

__all__ = ["Breach", "breaches", "divisible_optimizer"]

Values = Mapping[str, Any]


class Breach(NamedTuple):
    """A rule that a value breaks: its dotted key, what is wrong, what to do."""

    key: str
    message: str
    hint: str = ""


def breaches(values: Values, *, data: bool = True, trains: bool = True) -> Iterator[Breach]:
    """Yield every rule that the sheet's values break.

    Args:
        values: of the sheet.
        data: whether the run's data files must be there.
        trains: whether the algorithm must be one that learns from the data.
    """
    for rule in (
        _ranges,
        _betas,
        _overruled,
        _length_of_run,
        *((_learning,) if trains else ()),
        _quantization,
        _offload,
        _deepspeed,
        _divided_optimizer,
        _strategy,
        *((_data_files,) if data else ()),
        _mixtures,
        _model_files,
        _added_tokens,
        _adapter,
    ):
        yield from rule(values)


def _at_least(least: float) -> tuple[Callable[[Any], bool], str]:
    return (lambda value: value >= least), f"must be at least {least:g}"


def _above(floor: float) -> tuple[Callable[[Any], bool], str]:
    return (lambda value: value > floor), f"must be above {floor:g}"


def _from_to_below(least: float, limit: float) -> tuple[Callable[[Any], bool], str]:
    return (lambda value: least <= value < limit), f"must be at least {least:g} and below {limit:g}"


# None passes everywhere: whether it may be None is the signature's to say.
_RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "train_dataset.max_length": _at_least(1),
    "val_dataset.max_length": _at_least(1),
    "model.vocabulary.pad_to_multiple_of": _at_least(1),
    "train_dataset.window_rows": _at_least(1),
    "train_dataset.loss_weights.thought": _at_least(0),
    "train_dataset.loss_weights.call": _at_least(0),
    "train_dataset.loss_weights.answer": _at_least(0),
    "train_dataloader.batch_size": _at_least(1),
    "train_dataloader.num_workers": _at_least(0),
    "train_cfg.accumulative_counts": _at_least(1),
    "train_cfg.max_epochs": _above(0),
    "train_cfg.max_steps": _at_least(1),
    "train_cfg.val_interval": _at_least(1),
    "optimizer.lr": _above(0),
    "optimizer.weight_decay": _at_least(0),
    "optimizer.betas.0": _from_to_below(0, 1),
    "optimizer.betas.1": _from_to_below(0, 1),
    "param_scheduler.warmup_ratio": _from_to_below(0, 1),
    "clip_grad.max_norm": _above(0),
    "model.gradient_checkpointing": _at_least(0),
    "model.loss_chunk_size": _at_least(1),
    "model.adapter.r": _at_least(1),
    "model.adapter.lora_alpha": _above(0),
    "model.adapter.lora_dropout": _from_to_below(0, 1),
    "parallel.sequence_parallel_size": _at_least(1),
    "default_hooks.checkpoint.interval": _at_least(1),
    "default_hooks.checkpoint.max_keep": _at_least(1),
    "env_cfg.hang_timeout": _above(0),
    "randomness.seed": _at_least(0),
}
# The same within each evaluation
_MEASURED_RANGES = {
    "batch_size": _at_least(1),
    "max_new_tokens": _at_least(1),
    "every": _at_least(1),
    "rows": _at_least(1),
    "shots": _at_least(0),
}


def _ranges(values: Values) -> Iterator[Breach]:
    measured = {
        f"{section}.{name}": rule
        for section in _measured(values)
        for name, rule in _MEASURED_RANGES.items()
    }
    for key, (holds, message) in (_RANGES | measured).items():
        value = _get(values, key)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and not holds(value):
            yield Breach(key, message)


def _betas(values: Values) -> Iterator[Breach]:
    betas = _get(values, "optimizer.betas")
    if isinstance(betas, list | tuple) and len(betas) != 2:
        yield Breach("optimizer.betas", "must be two numbers", "such as (0.9, 0.999)")


def _overruled(values: Values) -> Iterator[Breach]:
    """What the knob `algorithm` says of an argument that `model` has from a knob of its own."""
    algorithm, model = values.get("algorithm"), values.get("model")
    if not (isinstance(algorithm, Mapping) and isinstance(model, Mapping)):
        return
    for key, given in algorithm.items():
        if key != "type" and key in model and model[key] != given:  # a model may be given whole
            yield Breach(
                f"algorithm.{key}",
                f"does not hold: model.{key} is {model[key]!r}",
                f"leave it out of algorithm, and set the knob that model.{key} is made of",
            )


_STREAMED = ("StreamedSFTDataset", "StreamedPreferenceDataset")


def _length_of_run(values: Values) -> Iterator[Breach]:
    loop = values.get("train_cfg")
    if not isinstance(loop, Mapping) or not {"max_epochs", "max_steps"} & loop.keys():
        return
    if loop.get("max_epochs") is None and loop.get("max_steps") is None:
        yield Breach("train_cfg.max_epochs", "max_steps is None too", "give one of the two")
    if _get(values, "train_dataset.type") in _STREAMED and loop.get("max_steps") is None:
        yield Breach(
            "train_cfg.max_steps",
            "is None, and nobody knows how long an epoch of streamed data is",
            "set max_steps",
        )
    is_validated = _get(values, "val_dataset.data_path") is not None
    if is_validated and _get(values, "val_dataset.type") in _STREAMED:
        yield Breach(
            "val_dataset.type",
            "is streamed, and validation reads all of its data every time",
            "name SFTDataset or PreferenceDataset, with max_rows",
        )


def _learning(values: Values) -> Iterator[Breach]:
    for key, message, hint in learning.contradictions(values):
        yield Breach(key, message, hint)


def _quantization(values: Values) -> Iterator[Breach]:
    trained = any(_get(values, f"model.{key}") is not None for key in ("adapter", "adapter_folder"))
    if _get(values, "model.llm.quantization") is not None and not trained:
        yield Breach(
            "model.llm.quantization",
            "quantized weights cannot be trained",
            "train an adapter on them (model.adapter), or leave quantization out",
        )


def _offload(values: Values) -> Iterator[Breach]:
    if _get(values, "model.activation_offload") and not _get(
        values, "model.gradient_checkpointing"
    ):
        yield Breach(
            "model.activation_offload",
            "moves what checkpointed layers keep, and there are none",
            "set gradient_checkpointing to True, to k for one layer of k, or to 'auto'",
        )


def _deepspeed(values: Values) -> Iterator[Breach]:
    for key, message, hint in contradictions(values):
        yield Breach(key, message, hint)


def _adapter(values: Values) -> Iterator[Breach]:
    for key, message, hint in adapters.contradictions(values):
        yield Breach(key, message, hint)


# Those of bitsandbytes: what holds a part of each weight cannot hold their state
_UNDIVIDED = ("AdamW8bit", "PagedAdamW8bit", "PagedAdamW32bit")


def divisible_optimizer(name: Any) -> Any:
    """Return the optimizer to take in the place of `name` where its state is held in parts.

    >>> divisible_optimizer("PagedAdamW8bit"), divisible_optimizer("torch.optim.SGD")
    ('AdamW', 'torch.optim.SGD')
    """
    return "AdamW" if name in _UNDIVIDED else name


def _divided_optimizer(values: Values) -> Iterator[Breach]:
    strategy, optimizer = _get(values, "strategy.type"), _get(values, "optimizer.type")
    if divides_state(strategy) and optimizer in _UNDIVIDED:
        yield Breach(
            "optimizer.type",
            f"{strategy} cannot hold its state in parts",
            "take AdamW, whose state is divided among the devices, or DDPStrategy",
        )


def _strategy(values: Values) -> Iterator[Breach]:
    """What the strategy refuses, as far as a sheet tells; the run asks again of the model."""
    strategy = values.get("strategy")
    if not isinstance(strategy, Mapping) or "type" not in strategy:
        return
    targets = _get(values, "model.adapter.target_modules")
    traits = Traits(
        quantized=_get(values, "model.llm.quantization") is not None,
        adapter_on_head=isinstance(targets, list | tuple | set) and "lm_head" in targets,
    )
    try:
        refusal = sharding_of_sheet(strategy).refuses(traits)
    except (ConfigError, KeyError):  # of DeepSpeed's settings, which another rule reports
        return
    if refusal is not None:
        yield Breach(*refusal)


_DATA_SUFFIX = re.compile(r"\.(json|jsonl|csv|tsv|parquet|arrow|txt)(\.\w+)?$", re.IGNORECASE)


def _measured(values: Values) -> list[str]:
    """The sections of what is measured; an older sheet has one."""
    listed = values.get("evaluations")
    count = len(listed) if isinstance(listed, list | tuple) else 0
    return ["test_cfg", *(f"evaluations.{number}" for number in range(count))]


def _data_sections(values: Values) -> list[str]:
    return ["train_dataset", "val_dataset", *_measured(values)]


def _data_files(values: Values) -> Iterator[Breach]:
    for key, data_path in _data_paths(values):
        if isinstance(data_path, Mapping):
            if data_path.get("type") != "files":
                continue
            key, data_path = f"{key}.path", data_path.get("path")
        elif isinstance(data_path, str) and _is_no_file(data_path):
            continue
        paths = data_path if isinstance(data_path, list | tuple) else [data_path]
        for path in paths:
            if isinstance(path, str) and not _is_there(path):
                missing = not_there(path, "file, folder or pattern").removesuffix(".")
                yield Breach(key, missing, _data_hint(key, path))


def _data_hint(key: str, path: str) -> str:
    """What to give as data. Few tasks take a source that generates rows, benchmarks none."""
    sources = _generated_sources()
    if key.startswith(("train_dataset", "val_dataset")) or get_close_matches(path, sources):
        return "give a data file, a folder, a hub id 'owner/name', or one of: " + ", ".join(sources)
    return "give the folder or file with the task's data, or a hub id 'owner/name'"


def _mixtures(values: Values) -> Iterator[Breach]:
    for section in _data_sections(values):
        sources = _sources(_get(values, f"{section}.data_path"))
        weighted = [number for number, source in sources if source.get("weight") is not None]
        for number, source in sources:
            key = f"{section}.data_path.{number}"
            for name in ("weight", "epochs", "max_rows"):
                value = source.get(name)
                if isinstance(value, int | float) and value <= 0:
                    yield Breach(f"{key}.{name}", "must be above 0")
            if source.get("weight") is not None and source.get("epochs") is not None:
                yield Breach(f"{key}.epochs", "stands next to a weight", "give one of the two")
            if weighted and number not in weighted:
                yield Breach(key, "has no weight", "give all sources of a mixture one, or none")


def _data_paths(values: Values) -> Iterator[tuple[str, Any]]:
    """The data_path of every section, or of every source where it is a mixture."""
    for section in _data_sections(values):
        key = f"{section}.data_path"
        data_path = _get(values, key)
        sources = _sources(data_path)
        for number, source in sources:
            yield f"{key}.{number}.data_path", source.get("data_path")
        if not sources:
            yield key, data_path


def _sources(data_path: Any) -> list[tuple[int, Mapping[str, Any]]]:
    """The sources of a mixture by their number; none if it is no mixture."""
    listed = data_path if isinstance(data_path, list | tuple) else ()
    return [(number, one) for number, one in enumerate(listed) if isinstance(one, Mapping)]


def _generated_sources() -> list[str]:
    return registry.names_alone(registry.SOURCES, "split")


def _is_no_file(name: str) -> bool:
    """Whether this names a source that generates its rows, or a data set on the hub."""
    is_on_hub = (
        hub_id_in(name) is not None and not _DATA_SUFFIX.search(name) and not misspells_a_file(name)
    )
    return is_on_hub or name in _generated_sources()


def _is_there(path: str) -> bool:
    if not path.strip():  # Path('') would be this folder
        return False
    return Path(path).expanduser().exists() or bool(glob.glob(str(Path(path).expanduser())))


def _model_files(values: Values) -> Iterator[Breach]:
    for key in ("model.llm", "tokenizer"):
        key += ".pretrained_model_name_or_path"
        name = _get(values, key)
        if not isinstance(name, str):
            continue
        if kind_of(name) is Kind.MODELSCOPE:
            if hub_id_in(name) is None:
                yield Breach(key, f"{name!r} names no model", "an id is 'modelscope:owner/name'")
            continue
        if is_path(name) and not Path(name).expanduser().exists():
            missing = not_there(name, "file or folder").removesuffix(".")
            yield Breach(key, missing, "a hub id is 'owner/name'")


def _added_tokens(values: Values) -> Iterator[Breach]:
    tokens = _get(values, "tokenizer.added_tokens")
    for token in tokens if isinstance(tokens, list | tuple) else ():
        if not isinstance(token, str) or not token.strip():
            yield Breach(
                "tokenizer.added_tokens",
                f"{token!r} cannot be a token",
                "a token is a string that is not empty or white space",
            )
        elif tokens.count(token) > 1:
            yield Breach("tokenizer.added_tokens", f"{token!r} stands there more than once")


def _get(values: Any, key: str) -> Any:
    """The value at a dotted key, or None."""
    for part in key.split("."):
        if isinstance(values, Mapping):
            values = values.get(part)
        elif isinstance(values, list | tuple) and part.isdigit() and int(part) < len(values):
            values = values[int(part)]
        else:
            return None
    return values
