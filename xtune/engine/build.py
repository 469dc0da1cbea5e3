"""Parts of a run, built from a sheet's values; shared by the runner and the plan."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import date
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from xtune.checkpoint.state import recorded_day
from xtune.config.continued import adapter_notes, origin_of_adapter, overruled_note
from xtune.config.recipe import Recipe, recipe_of
from xtune.data.judged import VECTOR_FIELDS
from xtune.data.protocol import Dataset, Loader, missing_names
from xtune.data.report import DataReport
from xtune.engine.hooks.base import Hook
from xtune.engine.loops import Loop
from xtune.engine.own_parts import require_both, require_called
from xtune.errors import ConfigError, DataError
from xtune.models import load_config
from xtune.models.attention import why_not_slices
from xtune.models.packed.linear import dense_sizes
from xtune.parallel.world import ALONE, World
from xtune.registry import (
    DATASETS,
    HOOKS,
    MODELS,
    TRAIN_LOOPS,
    build,
    require_whole,
    resolve,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


__all__ = [
    "adapter_trained_further",
    "build_datasets",
    "build_hooks",
    "build_loop",
    "count_parameters",
    "day_of_run",
    "require_ends",
    "require_sliceable",
    "validation_loader",
    "weights_from",
]

logger = logging.getLogger(__name__)


def adapter_trained_further(recipe: Recipe, checkpoint: Path | None) -> dict[str, Any]:
    """Return the notes on the adapter that a run begins with; {} if it begins a new one.

    Args:
        recipe: of the run.
        checkpoint: that the run goes on from; it knows from its own beginning.

    Returns:
        `vocabulary`, the adapter's, if it has tokens of its own, and `began_with`, its origin.
    """
    if recipe.adapter_folder is None:
        return {}
    folder = Path(recipe.adapter_folder).expanduser()
    notes = adapter_notes(checkpoint / "adapter" if checkpoint else folder)
    if checkpoint is None:
        settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        shown = ", ".join(
            f"{name}={settings[name]!r}" for name in ("r", "lora_alpha") if name in settings
        )
        logger.info("training %s further, as it is (%s); `lora` is not used", folder, shown)
        if note := overruled_note(recipe.adapter_folder, recipe.adapter):
            logger.warning(note)
        system = notes.get("system")
        if system and system != recipe.system:
            logger.warning("it was trained with the system text %r: SYSTEM is another", system)
    began = notes.get("began_with") if checkpoint else origin_of_adapter(folder)
    known = {"vocabulary": notes.get("vocabulary"), "began_with": began}
    return {key: value for key, value in known.items() if value}


def build_datasets(
    cfg: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, day: str | None = None
) -> tuple[Dataset, Dataset | None]:
    """Return training and validation data; no validation data where its data_path is None.

    Args:
        cfg: the sheet's values.
        tokenizer: of the run.
        day: on which the run began, '2026-11-30'; for templates that tell today's date.

    Raises:
        ConfigError: a data set of the user's own lacks what a run asks of it, or makes of rows
            what the algorithm does not learn from; `check` finds that of xtune's own.
    """
    algorithm = cfg["model"]["type"]
    require_whole(resolve(MODELS, algorithm))
    train = _dataset("train_dataset", cfg, tokenizer, day, algorithm)
    validation = cfg.get("val_dataset")
    if validation is None or validation.get("data_path") is None:
        return train, None
    return train, _dataset("val_dataset", cfg, tokenizer, day, algorithm)


def _dataset(
    key: str,
    cfg: Mapping[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    day: str | None,
    algorithm: Any,
) -> Dataset:
    kind = cfg[key]["type"]
    made_by = resolve(DATASETS, kind)
    supplied: dict[str, Any] = {"tokenizer": tokenizer}
    takes = signature(made_by).parameters
    if not any(one.name == "tokenizer" or one.kind is one.VAR_KEYWORD for one in takes.values()):
        raise ConfigError(
            f"{key}.type={_name(kind)!r} takes no 'tokenizer', which the run gives its data"
        )
    takes_a_day = "day" in takes  # a user's may not
    if day is not None and takes_a_day and cfg[key].get("day") is None:
        supplied["day"] = day
    dataset = build(DATASETS, cfg[key], **supplied)
    if lacking := missing_names(dataset):
        raise ConfigError(
            f"{key}.type={_name(kind)!r} has no {', '.join(lacking)}, which a run asks of its "
            "data: xtune/data/protocol.py says what each is, and Packs in xtune/data/packs.py "
            "gives loader and preview to a class that has its samples by number"
        )
    made: Dataset = dataset
    if cfg["model"].get("precompute_reference") and not hasattr(dataset, "attach"):
        raise ConfigError(
            f"precompute_reference with {key}.type={_name(kind)!r}: its rows are not all known "
            "before the training. Leave it out, or name a data set that is read whole, such as "
            "PreferenceDataset"
        )
    _require_vectors(key, cfg["model"], dataset)
    learns_from = getattr(resolve(MODELS, algorithm), "learns_from", made.makes)
    if made.makes != learns_from:
        raise ConfigError(
            f"{key}.type={_name(kind)!r} makes {made.makes} of rows, and model.type="
            f"{_name(algorithm)!r} learns from {learns_from}. Name an algorithm that learns from "
            f"{made.makes}, or a data set that makes {learns_from}"
        )
    return made


def _require_vectors(key: str, model: Mapping[str, Any], dataset: Any) -> None:
    """Refuse data of which no row says what the loss asks for, and say what it has no use for.

    What streamed data have nobody knows before they are read.
    """
    asks = getattr(resolve(MODELS, model["type"]), "asks_of_data", None)
    known = getattr(dataset, "vectors", None)
    if asks is None or known is None:
        return
    if lacking := [name for name in asks(model) if name not in known]:
        fields = ", ".join(f"`{VECTOR_FIELDS.get(name, name)}`" for name in lacking)
        raise ConfigError(
            f"model.loss={model['loss']} asks for {fields} of the data, and no row of {key} has "
            "it: give the rows that field, or choose another loss or option"
        )
    for name in sorted(VECTOR_FIELDS.keys() & known - {*asks(model)}):
        logger.info(
            "%s: rows have `%s`, which %s does not use here",
            key, VECTOR_FIELDS[name], _name(model["type"]),
        )  # fmt: skip


def _name(named: Any) -> str:
    return named if isinstance(named, str) else str(named.__name__)


def day_of_run(checkpoint: Path | None, world: World) -> str:
    """Return the day on which a run began, '2026-11-30'; today where it begins; all call this.

    Args:
        checkpoint: that the run goes on from; None: it begins.
        world: the processes of the run.
    """
    recorded = None if checkpoint is None else recorded_day(checkpoint / "state")
    return world.from_main(recorded or date.today().isoformat())


def require_ends(report: DataReport, *, force: bool) -> None:
    """Refuse data that nothing good can be learnt from, such as answers without an end.

    Args:
        report: of the training data.
        force: only warn.

    Raises:
        DataError: they are such.
    """
    for failure in report.failures:
        if not force:
            raise DataError(f"{failure}. To train all the same: --force")
        logger.warning("%s", failure)


def require_sliceable(recipe: Recipe) -> None:
    """Check, before any weight is loaded, that the model can be trained on shared rows.

    Raises:
        ConfigError: it cannot, with the reason.
    """
    size, name = recipe.sharing, recipe.base_model
    if size == 1 or name is None or recipe.longest is None:
        return
    config = load_config(name, trust_remote_code=recipe.trust_remote_code)
    if reason := why_not_slices(config, size, recipe.longest):
        raise ConfigError(f"{name!r} with sequence_parallel_size={size}: {reason}")


def build_loop(
    cfg: Mapping[str, Any], dataset: Dataset, world: World = ALONE
) -> tuple[Loop, Loader]:
    """Return the loop and the loader that gives it the micro-batches of each step.

    Args:
        cfg: the sheet's values.
        dataset: that the loader reads.
        world: the processes that share the steps.

    Raises:
        ConfigError: the sheet's `train_cfg` names no Loop.
    """
    require_whole(resolve(TRAIN_LOOPS, cfg["train_cfg"]["type"]))
    loop = build(TRAIN_LOOPS, cfg["train_cfg"])
    if not isinstance(loop, Loop):
        raise ConfigError(
            f"train_cfg: {type(loop).__name__} is no Loop. Derive it from xtune's "
            "(from xtune.engine.loops import Loop), or leave type='TrainLoop'"
        )
    require_both("train_cfg", loop, Loop)
    loader = dataset.loader(
        accumulative_counts=loop.accumulative_counts,
        seed=recipe_of(cfg).seed,
        world=world,
        **cfg["train_dataloader"],
    )
    return loop, loader


def validation_loader(
    cfg: Mapping[str, Any], dataset: Dataset | None, world: World = ALONE
) -> Loader | None:
    """Return a loader that goes through the validation data once, in order.

    Args:
        cfg: the sheet's values.
        dataset: the validation data; None: there are none, and no loader.
        world: the processes that share them.
    """
    if dataset is None:
        return None
    return dataset.loader(
        batch_size=recipe_of(cfg).rows,
        accumulative_counts=1,
        seed=0,
        shuffle=False,
        world=world,
    )


def build_hooks(cfg: Mapping[str, Any]) -> dict[str, Hook]:
    """Return the hooks by name, in the order in which they are called.

    A default hook has its key as name; a custom one its place and type: '0 EvaluateChatHook'.
    A default hook that is None is switched off. What the sheet's `evaluations` measure while it
    trains is a hook too, 'evaluations', before checkpoints are written.

    Raises:
        ConfigError: one is no Hook, or waits for a moment that there is not.
    """
    named = dict(cfg.get("default_hooks") or {})
    if measured := [each for each in cfg.get("evaluations") or () if each.get("every")]:
        saves = {"checkpoint": named.pop("checkpoint")} if "checkpoint" in named else {}
        named |= {"evaluations": {"type": "EvaluateHook", "evaluations": measured}, **saves}
    for place, hook in enumerate(cfg.get("custom_hooks") or ()):
        kind = hook["type"]
        named[f"{place} {kind if isinstance(kind, str) else kind.__name__}"] = hook
    hooks = {name: build(HOOKS, hook) for name, hook in named.items() if hook is not None}
    moments = [one for one in vars(Hook) if not one.startswith("_") and callable(vars(Hook)[one])]
    for name, hook in hooks.items():
        require_called(name, hook, sorted(moments))
        require_both(f"hook {name}", hook, Hook)
    return hooks


def weights_from(checkpoint: Path | None, cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sheet's `model`, with its weights from the checkpoint if they are all in there.

    With an adapter they are not: the base model is read where it always was; an adapter that is
    trained further is the checkpoint's, which it has become, and what it began as is named too.

    Args:
        checkpoint: that the run goes on from; None: it begins.
        cfg: the sheet's `model`.
    """
    if checkpoint and cfg.get("adapter_folder") and (checkpoint / "adapter").is_dir():
        began = adapter_notes(checkpoint / "adapter").get("began_with") or {}
        start = {"folder": str(cfg["adapter_folder"]), "sha256": began.get("sha256")}
        return {**cfg, "adapter_folder": str(checkpoint / "adapter"), "adapter_start": start}
    if checkpoint is None or not (checkpoint / "model").is_dir():
        return dict(cfg)
    llm = {**cfg["llm"], "pretrained_model_name_or_path": str(checkpoint / "model")}
    return {**cfg, "llm": llm}


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Return how many parameters are trained, and how many there are.

    Four-bit weights are counted as what they stand for, where the model knows.
    """
    trainable = total = 0
    published = {id(tensor): size for tensor, size in dense_sizes(model)}
    for parameter in model.parameters():
        # bitsandbytes packs two 4-bit weights into a byte and keeps the shape they had.
        packed = getattr(parameter, "quant_state", None)
        size = packed.shape.numel() if packed is not None else parameter.numel()
        size = published.get(id(parameter), size)
        total += size
        trainable += size if parameter.requires_grad else 0
    return trainable, total
