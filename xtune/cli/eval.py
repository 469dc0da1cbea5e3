"""Measure a model: any task, any form; before and after, paired; with a report.

MODEL is a hub id, a folder, a checkpoint, a run's folder (its newest whole checkpoint, also while
it goes on) or a config. Without --tasks the run's own config says what is measured, in
`evaluations`, before and after. Answers are kept: the same command goes on where it was killed.

  xtune eval work_dirs/smollm2_135m_lora_toolcall
  xtune eval smollm2 --tasks mmlu gsm8k --data ./benchmarks_data
  xtune eval work_dirs/my_run --tasks ceval cmmlu --data ./benchmarks_data --before-after
  xtune eval MODEL --adapter DIR --tasks my_task.py:Task my_questions.jsonl
  xtune eval MODEL --tasks tool_calls --data BFCL.json --task-options tool_calls.answers=FILE
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtune.garbage import lasting_imports

if TYPE_CHECKING:
    from xtune.eval.comparison import Comparison
    from xtune.eval.results import Results
    from xtune.eval.target import Target
    from xtune.eval.tasks.base import Task

__all__ = ["Progress", "add_arguments", "print_comparison", "run"]

_SECONDS = 10.0  # between two lines of progress
_GROUPS_IN_TABLE = 12  # of a task; more stand on the page alone


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("model", metavar="MODEL", help="a model, a run's folder or a config")
    parser.add_argument(
        "--tasks", metavar="TASK", nargs="+", help="names (xtune list-tasks), FILE.py:Task, or FILE"
    )
    parser.add_argument(
        "--data", metavar="DIR", help="the benchmarks' files (default: $XTUNE_EVAL_DATA)"
    )
    parser.add_argument("--adapter", metavar="DIR", help="measure the model with this adapter")
    parser.add_argument(
        "--before-after", action="store_true", help="the untouched model too, item by item"
    )
    parser.add_argument(
        "--work-dir", metavar="D", type=Path, help="a config's run (default: work_dirs/CONFIG)"
    )
    parser.add_argument(
        "--form",
        choices=("completion", "chat"),
        help="default: chat for what a run has trained on dialogues, else completion",
    )
    parser.add_argument("--shots", metavar="N", type=int, help="examples shown (default: usual)")
    parser.add_argument(
        "--rows", metavar="N", type=int, help="ask N items of each task, evenly spaced"
    )
    parser.add_argument("--bits", type=int, choices=(4, 8), help="quantize while loading")
    parser.add_argument("--dtype", choices=("fp32", "bf16", "fp16"), help="of the weights")
    parser.add_argument(
        "--run-code", action="store_true", help="run the programs that answers are, in the sandbox"
    )
    parser.add_argument(
        "--task-options", metavar="TASK.KEY=VALUE", nargs="+", default=[], help="mmlu.shots=0"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="where to (default: the run's)")


def run(args: argparse.Namespace) -> None:
    """Measure, write the results and the report, print the table and where the files are."""
    from xtune.errors import UsageError, XtuneError

    for name, least in (("rows", 1), ("shots", 0)):
        given = getattr(args, name)
        if given is not None and given < least:
            raise UsageError(f"--{name} {given}: give {least} or more")

    with lasting_imports():
        from xtune.eval.chosen import build_tasks, choose_tasks
        from xtune.eval.target import find_target

    tasks: dict[str, Task] = {}
    if args.tasks:  # what is wrong with them is said before a model is looked for
        try:
            tasks = choose_tasks(
                args.tasks,
                data=args.data,
                shots=args.shots,
                run_code=args.run_code,
                options=args.task_options,
            )
        except XtuneError as error:
            if also := _also_wrong(args.model):
                raise UsageError(f"{error}{also}") from error
            raise
    target = find_target(
        args.model,
        adapter=args.adapter,
        work_dir=args.work_dir,
        bits=args.bits,
        dtype=args.dtype,
    )
    if not tasks:
        _require_evaluations(target)
        tasks = build_tasks(target.evaluations)
    if args.before_after or not args.tasks:
        _before_and_after(args, target, tasks)
    else:
        _once(args, target, tasks)


def _before_and_after(args: argparse.Namespace, target: Target, tasks: dict[str, Task]) -> None:
    from xtune.eval.evaluate import before_and_after, evaluation_folder
    from xtune.eval.pages.report import write_comparison

    folder = args.out or evaluation_folder(target)
    compared = before_and_after(
        target,
        tasks,
        folder=folder,
        look_in_data=bool(args.tasks),  # a config's own are of the same making as its rows
        **_how(args),
    )
    if not _is_main():
        return
    report = args.out or (folder if target.run is None else target.run / "report")
    paths = write_comparison(compared, report)
    print_comparison(compared)
    _print_files(tasks, compared.after, paths.values())
    _print_next(args, tasks, compared.after, [folder / "before", folder / "after"])


def _once(args: argparse.Namespace, target: Target, tasks: dict[str, Task]) -> None:
    from xtune.eval.evaluate import evaluation_folder, measure_target
    from xtune.eval.pages.report import write_report

    folder = args.out or evaluation_folder(target)
    results = measure_target(target, tasks, folder=folder, **_how(args))
    if not _is_main():
        return
    paths = write_report(results, folder)
    _print_results(results)
    if kept := [name for name in results.tasks if name not in tasks]:
        print(f"measured earlier: {', '.join(kept)}")
    _print_files(tasks, results, [folder / "results.json", *paths.values()])
    _print_next(args, tasks, results, [folder])


def _how(args: argparse.Namespace) -> dict[str, Any]:
    return {"form": args.form, "rows": args.rows, "on_progress": Progress()}


def _print_next(
    args: argparse.Namespace, tasks: dict[str, Task], results: Results, folders: list[Path]
) -> None:
    """Say what to do next where numbers are missing, or may not be those that are meant."""
    unlike_use = [
        name
        for name, task in tasks.items()
        if results[name].settings["form"] == "completion" and "chat" in task.forms
    ]
    if args.form is None and unlike_use and results.model.get("template"):
        print(
            f"{results.name} has a chat template, and {', '.join(unlike_use)} did not use it: "
            "--form chat asks as a user of the chat does"
        )
    if any(task.scoring == "judged" for task in tasks.values()):
        files = " ".join(str(folder / "items.jsonl") for folder in folders)
        print(f"for a judge to score the answers: xtune judge {files} --judge URL_OR_MODEL")


def _require_evaluations(target: Target) -> None:
    from xtune.errors import ConfigError, UsageError

    if target.sheet is None:
        raise UsageError(
            f"{target.name} is no run (it has no config.py), so name what to measure: "
            "--tasks mmlu gsm8k … (xtune list-tasks)"
        )
    if not target.evaluations:
        raise ConfigError(
            f"{target.sheet.name} has no evaluations, so there is nothing to measure: name tasks "
            "with --tasks, or see configs/_base_/datasets/toolcall.py for what a config says"
        )


def _also_wrong(given: str) -> str:
    """What is to be said of the model's name too, where a task cannot be made: sentences."""
    from xtune.config import find_config
    from xtune.errors import UsageError
    from xtune.names import Kind, kind_of

    if Path(given).expanduser().exists() or ":" in given or kind_of(given) is not Kind.WORD:
        return ""
    try:
        find_config(given)
    except UsageError as error:
        return (
            f"\nThere is {error}. Nor is that a folder; on the hub a model has an owner: owner/name"
        )
    return ""


def _is_main() -> bool:
    from xtune.parallel.world import world_of_environment

    return world_of_environment().is_main


class Progress:
    """Says every ten seconds how far an evaluation is, and how long the task still takes.

    Args:
        clock: seconds that pass.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said = -_SECONDS
        self._begun: dict[tuple[str, str], tuple[float, int]] = {}

    def __call__(self, stage: str, task: str, done: int, total: int) -> None:
        """Take note of an answer.

        Args:
            stage: 'before' or 'after'.
            task: its label.
            done: answers that there are.
            total: answers that there will be.
        """
        now = self._clock()
        began, first = self._begun.setdefault((stage, task), (now, done))
        if done < total and now - self._said < _SECONDS:
            return
        self._said = now
        left = ""
        if first < done < total:
            seconds = (now - began) / (done - first) * (total - done)
            left = f", about {timedelta(seconds=round(seconds))} left"
        said = f"{stage}, {task}: {done:,} of {total:,} answered{left}"
        print(said, file=sys.stderr, flush=True)


def print_comparison(compared: Comparison) -> None:
    """Print a table a task: its groups, its metrics, what changed and whether by luck.

    Args:
        compared: two measurements.
    """
    from rich.console import Console
    from rich.table import Table

    from xtune.eval.pages.words import change, of_all_items, p_in_words, percent
    from xtune.eval.results import Measured, in_words

    for name in compared.tasks:
        before, after = compared.of(name)
        table = Table("group", title=f"{compared.title}: {name}", title_justify="left")
        for column in ("items", "before", "after", "change", "p"):
            table.add_column(column, justify="right", no_wrap=True)
        if 1 < len(after.groups) <= _GROUPS_IN_TABLE:
            for group in after.groups:
                later = after.measured(group=group)
                earlier = before.measured(group=group)
                table.add_row(in_words(group), str(later.n), str(earlier), str(later))
            table.add_section()
        for metric in after.metrics:
            pair = compared.paired(name, metric)
            whole, earlier = after.measured(metric), before.measured(metric)
            told: list[Any] = ["", ""]
            if pair is not None:
                moved = change(pair.difference, is_share=whole.is_share)
                told = [moved, p_in_words(pair.p_value)]
                # of the items that both have, as the change is
                share = whole.is_share and earlier.is_share
                earlier = Measured(pair.before, pair.n, is_share=share)
                whole = Measured(pair.after, pair.n, is_share=share)
            # what all items have together, where a task says so; their mean is another number
            shown = [
                of_all_items(metric, each.overall[metric]) if metric in each.overall else str(mean)
                for each, mean in ((before, earlier), (after, whole))
            ]
            table.add_row(in_words(metric), str(whole.n), *shown, *told, style="bold")
        if after.macro is not None:
            values = [percent(each.macro) for each in (before, after)]
            table.add_row("macro mean", "", *values)
        for metric, value in after.overall.items():
            if metric not in after.metrics:
                earlier_value = of_all_items(metric, before.overall.get(metric))
                table.add_row(in_words(metric), "", earlier_value, of_all_items(metric, value))
        Console(markup=False).print(table)  # names are data
        lost, gained = compared.flips(name)
        print(f"{name}: {len(lost)} got worse, {len(gained)} got better")
        for metric in after.metrics:
            pair = compared.paired(name, metric)
            if pair is not None and pair.gained is None:  # no question of right or wrong
                print(f"{name}: {in_words(metric)} is larger in {pair.rose} of {pair.n}")
        if alone := compared.alone(name):
            said = (
                f"{len(compared.pairs(name))} items are compared; {alone} are not in both, or with"
            )
            print(f"{name}: {said} another question", file=sys.stderr)
    for name in compared.tasks:
        if keys := compared.differing(name):
            print(f"{name}: {', '.join(keys)} differ between the two", file=sys.stderr)


def _print_results(results: Results) -> None:
    from rich.console import Console
    from rich.table import Table

    from xtune.eval.pages.words import of_all_items, percent
    from xtune.eval.results import in_words

    table = Table(title=results.name, title_justify="left")
    for column in ("task", "metric"):
        table.add_column(column, overflow="fold")
    for column in ("items", "result", "± error"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, task in results.tasks.items():
        for number, metric in enumerate(task.metrics):
            whole = task.measured(metric)
            error = "" if whole.stderr is None else percent(whole.stderr, is_share=whole.is_share)
            # what all items have together, where a task says so; their mean is another number
            together = metric in task.overall
            result = of_all_items(metric, task.overall[metric]) if together else str(whole)
            cells = ["" if number else name, in_words(metric), str(whole.n), result, error]
            table.add_row(*cells, style="bold" if metric == task.headline else "")
        if task.macro is not None:
            table.add_row("", "macro mean", "", percent(task.macro))
        for metric, value in task.overall.items():
            if metric not in task.metrics:
                table.add_row("", in_words(metric), "", of_all_items(metric, value))
        table.add_section()
    Console(markup=False).print(table)  # names are data


def _print_files(names: Iterable[str], results: Results, paths: Any) -> None:
    for name in names:
        task = results[name]
        form = task.settings["form"]
        counted = f"{task.unanswered} unanswered, {task.near_ties} near-ties"
        shots = f"{task.settings['shots_shown']} shots"
        print(f"{name}: {form} form, {shots}, {counted}, {task.seconds:.0f} s")
        for warning in task.warnings:
            print(f"{name}: {warning}")
        for line in task.settings.get("unusable", ())[:5]:
            print(f"{name}: unusable: {line}")
    for path in paths:
        print(path)
