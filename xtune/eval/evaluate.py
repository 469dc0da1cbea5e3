"""Measure a model: base, adapter, quantised, a run or one that is going on.

evaluate('work_dirs/x', ['mmlu', 'gsm8k'], data='benchmarks')     one model, once
before_and_after(find_target('work_dirs/x'), tasks)               paired, item by item
measure(subject, tasks)                                           a model in memory
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtune import __version__
from xtune.errors import DataError
from xtune.eval.asking import Asker, form_for
from xtune.eval.chosen import choose_tasks
from xtune.eval.comparison import Comparison
from xtune.eval.contamination import find_overlaps_by_task, training_texts
from xtune.eval.earlier import keep_earlier
from xtune.eval.loss_curve import LossCurve, read_loss_curve
from xtune.eval.result_files import write_results
from xtune.eval.results import Results, TaskResult, item_result
from xtune.eval.statistics import evenly_spaced
from xtune.eval.store import Store
from xtune.eval.subject import Subject
from xtune.eval.target import Stage, Target, find_target
from xtune.eval.tasks.base import Form, Item, Task
from xtune.generation.model import ChatModel
from xtune.parallel.in_step import same_on_all
from xtune.parallel.world import ALONE, World, join, leave, world_of_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Progress",
    "before_and_after",
    "evaluate",
    "evaluation_folder",
    "measure",
    "measure_target",
]

logger = logging.getLogger(__name__)

Progress = Callable[[str, str, int, int], None]
_LIBRARIES = ("torch", "transformers", "tokenizers", "peft", "bitsandbytes", "sacrebleu", "jieba")


def evaluate(
    model: str | os.PathLike[str] | ChatModel,
    tasks: Sequence[str | Task],
    *,
    adapter: str | os.PathLike[str] | None = None,
    data: str | None = None,
    form: Form | None = None,
    shots: int | None = None,
    rows: int | None = None,
    bits: int | None = None,
    dtype: str | None = None,
    run_code: bool = False,
    out: str | os.PathLike[str] | None = None,
) -> Results:
    """Measure a model once, and write results.json and items.jsonl; a second call goes on.

        results = xtune.evaluate('work_dirs/x', ['mmlu'], data='benchmarks', rows=200)
        results['mmlu'].score

    Args:
        model: what `xtune eval` takes, or one that is loaded.
        tasks: names, 'my_task.py:Task', 'my_questions.jsonl', or tasks that are made.
        adapter: measure the model with it.
        data: the folder of the benchmarks' files.
        form: 'completion' or 'chat'; None: what the model was trained with.
        shots: examples shown; None: each task's own number.
        rows: so many items of each task, evenly spaced; None: all.
        bits: 4 or 8 quantizes the weights while they are loaded.
        dtype: 'fp32', 'bf16' or 'fp16'; None: the run's own, or the fastest.
        run_code: let tasks that ask for programs run them, in the sandbox.
        out: where to; None: `evaluation` in the run's folder, or below work_dirs.

    Returns:
        What was found; `results['mmlu'].score`.

    Raises:
        UsageError: there is no such model or task, or no file of it.
    """
    words = [task for task in tasks if isinstance(task, str)]
    chosen = choose_tasks(words, data=data, shots=shots, run_code=run_code) if words else {}
    chosen |= {task.name: task for task in tasks if isinstance(task, Task)}
    if isinstance(model, ChatModel):
        folder = Path(out) if out is not None else _folder_of(model.name)
        return measure(Subject.of(model), chosen, form=form, folder=folder, rows=rows)
    target = find_target(
        os.fspath(model),
        adapter=None if adapter is None else os.fspath(adapter),
        bits=bits,
        dtype=dtype,
    )
    folder = Path(out) if out is not None else evaluation_folder(target)
    return measure_target(target, chosen, form=form, folder=folder, rows=rows)


def measure_target(
    target: Target,
    tasks: Mapping[str, Task],
    *,
    folder: Path,
    form: Form | None = None,
    rows: int | None = None,
    on_progress: Progress = lambda stage, task, done, total: None,
) -> Results:
    """Load a model as it is now, and measure it; see `measure`.

    Where it is a run's, the items are looked for in the rows that it was trained on.

    Args:
        target: what was found.
        tasks: by label.
        folder: of the results.
        form: see `evaluate`.
        rows: see `evaluate`.
        on_progress: called with 'after', the task, the answers that there are and will be.
    """
    folders: dict[Stage, Path] = {"after": folder}
    found = _measured_stages(target, tasks, folders, form, rows, target.trained_on, on_progress)
    return found["after"]


def before_and_after(
    target: Target,
    tasks: Mapping[str, Task],
    *,
    folder: Path,
    form: Form | None = None,
    rows: int | None = None,
    look_in_data: bool = False,
    on_progress: Progress = lambda stage, task, done, total: None,
) -> Comparison:
    """Measure the untouched model and what was made of it, on the same items in the same form.

    Args:
        target: with something trained.
        tasks: by label.
        folder: `before` and `after` in it hold the results.
        form: see `evaluate`.
        rows: see `evaluate`.
        look_in_data: whether the items are looked for in the rows that a run was trained on.
        on_progress: called with the stage, the task, the answers that there are and will be.

    Raises:
        UsageError: nobody knows the untouched model.
    """
    target.require_before()
    folders: dict[Stage, Path] = {"before": folder / "before", "after": folder / "after"}
    trained_on = target.trained_on if look_in_data else None
    found = _measured_stages(target, tasks, folders, form, rows, trained_on, on_progress)
    curve = LossCurve({}, {}) if target.run is None else read_loss_curve(target.run)
    return Comparison(
        title=f"What {target.name} has learnt",
        before=found["before"],
        after=found["after"],
        curve=curve,
    )


def measure(
    subject: Subject,
    tasks: Mapping[str, Task],
    *,
    form: Form | None = None,
    folder: Path | None = None,
    rows: int | None = None,
    world: World = ALONE,
    trained_on: Mapping[str, Any] | None = None,
    on_progress: Callable[[str, int, int], None] = lambda task, done, total: None,
) -> Results:
    """Ask a model in memory, score its answers, and write what was found.

    Answers are kept as they come, so that a second call after a killed one asks only what is
    missing; scoring is a second pass over them. All processes call it, and one of them writes.
    What the folder has of the same model and other tasks stays, and is in what is returned.

    Args:
        subject: the model.
        tasks: by label.
        form: 'completion' or 'chat'; None: 'chat' if it was trained on dialogues.
        folder: of answers.jsonl, items.jsonl and results.json; None: nothing is written.
        rows: so many items of each task, evenly spaced; None: all.
        world: the processes that ask together.
        trained_on: `train_dataset` of the run's sheet, in whose rows the items are looked for;
            None: nobody looks.
        on_progress: called with the task, the answers that there are and will be.

    Raises:
        DataError: a row is damaged, or no item of a task can be asked.
    """
    began = time.time()
    wanted: Form = form or ("chat" if subject.has_dialogues else "completion")
    results = Results(subject.name, subject.described(), versions=_versions())
    store = Store(folder, rank=world.rank)
    asker = Asker(subject, wanted, store, world=world, on_progress=on_progress)

    whole: dict[str, list[Item]] = {}

    def finish() -> None:
        if trained_on is not None and world.is_main:
            _look_for_items(results, whole, trained_on)
        results.run = {
            "date": time.strftime("%Y-%m-%d %H:%M"),
            "seconds": round(time.time() - began, 1),
            "machine": _machine(),
            "processes": world.size,
        }
        if folder is not None and world.is_main:
            keep_earlier(results, folder)
            write_results(results, folder)

    try:
        # All first: a damaged row of the last task is said before anything is asked
        whole |= same_on_all(
            world, lambda: {label: _items_of(label, task) for label, task in tasks.items()}
        )
        for label, task in tasks.items():
            results.tasks[label] = _measured(label, task, whole[label], asker, rows)
    except (Exception, KeyboardInterrupt):
        if results.tasks and folder is not None and world.is_main:
            finish()
            done = ", ".join(results.tasks)
            logger.warning("%s has the results of %s; the rest is not measured", folder, done)
        raise
    finally:
        store.close()
    finish()
    return results


def evaluation_folder(target: Target) -> Path:
    """Return where results go unless the user says otherwise.

    Args:
        target: a run's are in its folder, others below work_dirs/evaluation.
    """
    if target.run is not None:
        return target.run / "evaluation"
    return _folder_of(target.name)


def _measured_stages(
    target: Target,
    tasks: Mapping[str, Task],
    folders: Mapping[Stage, Path],
    form: Form | None,
    rows: int | None,
    trained_on: Mapping[str, Any] | None,
    on_progress: Progress,
) -> dict[Stage, Results]:
    """Measure what a target is at each stage, into that stage's folder, one model at a time."""
    found: dict[Stage, Results] = {}
    with _together() as world:
        for stage, subject in target.subjects(*folders):
            found[stage] = measure(
                subject,
                tasks,
                form=form,
                folder=folders[stage],
                rows=rows,
                world=world,
                trained_on=trained_on,
                on_progress=partial(on_progress, stage),
            )
            del subject
    return found


def _items_of(label: str, task: Task) -> list[Item]:
    whole = list(task.items())
    if not whole:
        raise DataError(f"{label} has no items")
    return whole


def _measured(
    label: str, task: Task, whole: list[Item], asker: Asker, rows: int | None
) -> TaskResult:
    began = time.time()
    items = [whole[at] for at in evenly_spaced(len(whole), rows)]
    responses = asker.answers(label, task, items)
    scores = [task.score(item, each) for item, each in zip(items, responses, strict=True)]
    found = [
        item_result(label, item, response, score)
        for item, response, score in zip(items, responses, scores, strict=True)
    ]
    overall = task.overall(items, scores)
    attachments = task.attachments(items, scores)
    # A submission and answers that a judge is to score have no number yet
    awaited = bool(attachments) or task.scoring == "judged"
    if not overall and not awaited and not any(row.metrics for row in found):
        raise DataError(f"{label}: no item can be measured; the first: {dict(found[0].notes)}")
    subject = asker.subject
    return TaskResult(
        task=label,
        headline=task.headline,
        lower_is_better=task.lower_is_better,
        ability=task.ability,
        chance=task.chance(items),
        settings={
            **asker.settings(task, items[0]),
            "form": form_for(task, asker.form),
            "scoring": task.scoring,
            "shots_shown": len(items[0].shots),
            **task.settings(),
            "rows": _hash_of(items),
            "dtype": subject.dtype,
            "quantization": subject.quantization,
            "token_budget": asker.scorer.token_budget,
        },
        first_prompt=asker.first_prompt(task, items[0]),
        rows=found,
        overall=overall,
        notices=task.notices(items, scores),
        attachments=attachments,
        of=len(whole),
        seconds=round(time.time() - began, 1),
    )


def _look_for_items(
    results: Results, whole: Mapping[str, list[Item]], trained_on: Mapping[str, Any]
) -> None:
    """Note which items stand in the training rows, where these can be read."""
    shown = {label: {row.id for row in task.rows} for label, task in results.tasks.items()}
    items = {
        label: [item for item in whole[label] if item.id in ids] for label, ids in shown.items()
    }
    try:
        found = find_overlaps_by_task(items, training_texts(trained_on))
    except DataError as error:  # moved since, or on a hub: the numbers are as true without
        logger.warning("the items are not looked for in the training rows: %s", error)
        return
    for label, contamination in found.items():
        results[label].contamination = contamination


def _hash_of(items: Sequence[Item]) -> str:
    """The hash of what is asked and what is right."""
    made = hashlib.sha256()
    for item in items:
        shots = [(shot.question, shot.answer) for shot in item.shots]
        row = [item.id, item.question, list(item.options), item.gold, shots]
        made.update(json.dumps(row, default=str).encode())
    return made.hexdigest()[:16]


@contextmanager
def _together() -> Iterator[World]:
    """Meet the other processes that a launcher has started, if there are any."""
    world = world_of_environment()
    met, done = join(world), False
    try:
        yield world
        done = True
    finally:
        if met:
            leave(all_are_done=done)


def _folder_of(name: str) -> Path:
    slug = re.sub(r"[^\w.-]+", "_", name.removeprefix("work_dirs/")).strip("_") or "model"
    return Path("work_dirs") / "evaluation" / slug


def _versions() -> dict[str, str]:
    found = {"xtune": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):  # an extra that is not installed
            found[name] = version(name)
    return found


def _machine() -> str:
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
    return f"{platform.machine()}, {torch.get_num_threads()} threads"
