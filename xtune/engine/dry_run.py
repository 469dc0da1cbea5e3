"""`xtune train --dry-run`: what can be known about a run before its weights are loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtune.config import Sheet, require_valid
from xtune.config.continued import overruled_note
from xtune.config.recipe import recipe_of
from xtune.engine.build import (
    build_datasets,
    build_hooks,
    build_loop,
    day_of_run,
    require_ends,
    require_sliceable,
)
from xtune.engine.identity import require_same_inputs
from xtune.engine.vocabulary_check import require_rows, require_same_tokens
from xtune.engine.work_dir import WorkDir
from xtune.errors import AdapterError, ConfigError, DataError, ModelError
from xtune.hub import cached_config
from xtune.models.modelscope import fetched
from xtune.models.tokenizer import open_vocabulary
from xtune.models.vocabulary import Pieces
from xtune.names import Kind, hub_id_in, kind_of
from xtune.parallel.world import ALONE
from xtune.planning.advice import advice_for, advice_lines
from xtune.planning.memory import smallest_card
from xtune.planning.recomputation import choose_checkpointing
from xtune.planning.requirement import FULL, MicroBatch, need_of, place_of
from xtune.registry import SCHEDULES, STRATEGIES, TRAIN_LOOPS, build

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from xtune.data.protocol import Dataset
    from xtune.engine.strategies.base import Strategy

__all__ = ["make_plan"]


def make_plan(
    sheet: Sheet, work_dir: Path, *, resume: str | None = None, force: bool = False
) -> list[str]:
    """Check a run as far as possible and describe it.

    The data are really read, tokenised and packed, into the cache that the run itself will use.
    Only what must come over the network may be missing: it is listed as not checked.

    Args:
        sheet: what would run.
        work_dir: where; nothing is made or changed there.
        resume: as for `Runner`.
        force: go on where a forced run would, and say so.

    Returns:
        Lines for the user.

    Raises:
        XtuneError: what the run itself would raise before its first step.
    """
    require_valid(sheet)
    folder = WorkDir(work_dir, sheet)
    checkpoint = folder.check(resume)
    folder.require_makeable()
    cfg, recipe = sheet.values, recipe_of(sheet.values)
    unchecked: list[str] = []
    lines = [
        f"config      {sheet.path}",
        f"work dir    {work_dir}; nothing is written there now",
    ]
    if recipe.adapter_folder is not None:
        lines.append(f"adapter     {recipe.adapter_folder}, trained further as it is")
        if note := overruled_note(recipe.adapter_folder, recipe.adapter):
            lines.append(f"{'':<11} {note}")
    tokenizer, pieces = _vocabulary(cfg, unchecked)
    datasets = _datasets(cfg, tokenizer, unchecked)
    if checkpoint is not None and tokenizer is not None and datasets is not None:
        require_same_inputs(checkpoint, recipe, tokenizer, datasets[0].identity)
    if datasets is not None and tokenizer is not None:
        require_rows(recipe, tokenizer, pieces, *datasets)
        require_same_tokens(cfg["model"], tokenizer, pieces)
    lines += _data_lines(datasets)
    if datasets is not None and not force:
        require_ends(datasets[0].report, force=False)
    elif datasets is not None:
        lines += [f"forced      {failure}" for failure in datasets[0].report.failures]
    build(SCHEDULES, cfg["param_scheduler"])
    build_hooks(cfg)
    lines += _step_lines(cfg, datasets)
    strategy = build(STRATEGIES, cfg["strategy"])
    lines.append(f"device      {strategy.device}, {strategy.precision.reason}")
    lines += _model_lines(cfg, strategy, datasets, pieces, unchecked)
    lines += ["not checked " + what for what in unchecked] or [
        "checked     everything but the weights themselves"
    ]
    return lines


def _vocabulary(
    cfg: Any, unchecked: list[str]
) -> tuple[PreTrainedTokenizerBase | None, dict[int, list[int]]]:
    name = cfg["tokenizer"]["pretrained_model_name_or_path"]
    try:
        return open_vocabulary(cfg["tokenizer"])
    except ModelError as error:
        if not _is_remote(name):
            raise
        unchecked.append(f"tokenizer {name!r}: {_first_line(error)}")
        unchecked.append("data: they cannot be tokenised without it")
        return None, {}


def _datasets(
    cfg: Any, tokenizer: PreTrainedTokenizerBase | None, unchecked: list[str]
) -> tuple[Dataset, Dataset | None] | None:
    if tokenizer is None:
        return None
    try:
        return build_datasets(cfg, tokenizer, day_of_run(None, ALONE))
    except DataError as error:
        path = cfg["train_dataset"]["data_path"]
        if not _is_remote_data(path):
            raise
        unchecked.append(f"data {path!r}: {_first_line(error)}")
        return None


def _data_lines(
    datasets: tuple[Dataset, Dataset | None] | None,
) -> Iterator[str]:
    if datasets is None:
        yield "data        not known here"
        return
    for name, dataset in zip(("data", "validation"), datasets, strict=True):
        if dataset is not None:
            for place, line in enumerate(dataset.report.lines()):
                yield f"{name if place == 0 else '':<11} {line}"


def _step_lines(cfg: Any, datasets: tuple[Dataset, Dataset | None] | None) -> Iterator[str]:
    if datasets is None:
        loop = build(TRAIN_LOOPS, cfg["train_cfg"])
        try:
            yield f"steps       {loop.total_steps(None)}"
        except ConfigError:
            epochs = cfg["train_cfg"]["max_epochs"]
            yield f"steps       {epochs} epochs of data not known here"
        return
    train = datasets[0]
    loop, loader = build_loop(cfg, train)
    steps = loop.total_steps(loader.steps_per_epoch)
    if loader.steps_per_epoch is None:
        yield f"steps       {steps:,}; the data are streamed"
        return
    epochs = steps / loader.steps_per_epoch
    yield f"steps       {steps:,}, {loader.steps_per_epoch:,} an epoch, {epochs:.2f} epochs"
    yield (
        f"tokens      {round(train.report.tokens * epochs):,} in all, "
        f"{round(train.report.trained_tokens * epochs):,} of them trained"
    )


def _model_lines(
    cfg: Any,
    strategy: Strategy,
    datasets: tuple[Dataset, Dataset | None] | None,
    pieces: Pieces,
    unchecked: list[str],
) -> Iterator[str]:
    recipe = recipe_of(cfg)
    name = recipe.base_model or ""
    largest = MicroBatch.of(recipe, datasets[0]) if datasets else FULL
    place = place_of(strategy.device, strategy.world.size)
    try:
        require_sliceable(recipe)
        if recipe.checkpointing == "auto":
            chosen = choose_checkpointing(cfg, strategy.precision, place, largest, pieces)
            cfg = {**cfg, "model": {**cfg["model"], **chosen}}
        need = need_of(cfg, strategy.precision, place, largest=largest, pieces=pieces)
    except ModelError as error:
        if isinstance(error, AdapterError) or not _is_remote(name):
            raise
        unchecked.append(f"model {name!r}: {_first_line(error)}")
        return
    if not _is_here(name):
        unchecked.append(f"weights of {name!r}: they are not on this disk; the run downloads them")
    estimate = need.estimate
    percent = 100 * estimate.trainable / estimate.parameters
    yield (
        f"parameters  {estimate.trainable:,} trained of {estimate.parameters:,} ({percent:.2f} %)"
    )
    if need.refusal is not None:
        raise ConfigError(need.refusal)
    for number, line in enumerate(need.lines()):
        yield f"{'memory' if number == 0 else '':<11} {line}"
    yield f"{'':<11} {largest.words(recipe)}"
    if card := smallest_card(need.gib):
        yield f"{'':<11} fits a GPU of {card} GB"
    if not need.fits(place):
        yield f"{'':<11} does not fit {place.gib:.1f} GiB, what {strategy.device} has"
        advice = advice_for(
            cfg, strategy.precision, place, need=need, largest=largest, pieces=pieces
        )
        for line in advice_lines(advice, place):
            yield f"{'':<11} {line}"


def _is_here(name: str) -> bool:
    kind = kind_of(name)
    if kind is Kind.ALIAS or Path(name).expanduser().exists():
        return True
    if kind is Kind.MODELSCOPE:
        try:
            return fetched(name, local_files_only=True).is_dir()
        except ModelError:
            return False
    return kind is Kind.HUB and cached_config(name) is not None


def _is_remote(name: str) -> bool:
    """Whether `name` can only be on a hub: owner/name, and nothing on this disk."""
    return hub_id_in(name) is not None and not _is_here(name)


# Sources that put rows of another source together
_OF_OTHER_DATA = ("gathered", "oasst_ranked", "shp")


def _is_remote_data(data_path: Any) -> bool:
    """Whether a data set comes from a hub: by its id, or by the source that it names."""
    if isinstance(data_path, str):
        return kind_of(data_path) is Kind.MODELSCOPE or _is_remote(data_path)
    if isinstance(data_path, Mapping):
        read = data_path.get("path", data_path.get("data_path"))
        if data_path.get("type") in _OF_OTHER_DATA and read is not None:
            return _is_remote_data(read)
        return data_path.get("type") in ("hub", "modelscope")
    return any(isinstance(one, Mapping) and _is_remote_data(one["data_path"]) for one in data_path)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
