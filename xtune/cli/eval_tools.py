"""Measure which tools a model calls, with which arguments, on the rows of a benchmark.

DATA is a file of rows (json, jsonl, ...) or a registered source. Each request is asked with its
row's tools, and the calls of the answer are compared with the expected ones: nothing is executed.

  format      fields
  bfcl        id, question, function, ground_truth (or --answers FILE)
  nexusraven  Input, Output, Context: Python functions (or --tools FILE)
  toolbench   conversations of {from, value} with Action and Action Input
  openai      messages, tools, kind: rows as one trains on

  xtune eval-tools smollm2 toolcall --rows 24
  xtune eval-tools smollm2_135m_lora_toolcall toolcall --out report
  xtune eval-tools Qwen/Qwen3-0.6B BFCL_v3_parallel.json --answers possible_answer/parallel.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xtune.eval.result import EvaluationResult
    from xtune.eval.tool_benchmark import ToolBenchmark
    from xtune.generation.model import ChatModel

__all__ = ["add_arguments", "run"]

_FORMATS = ("bfcl", "nexusraven", "toolbench", "openai")
_SHOWN = 5  # unusable rows
_FORMAT_VERSION = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "model",
        metavar="CONFIG|MODEL",
        help="a model; or a config or the folder of its run, for what that has trained",
    )
    parser.add_argument("data", metavar="DATA", help="a file of rows, or a registered source")
    parser.add_argument("--adapter", metavar="DIR", help="the model with this adapter")
    parser.add_argument(
        "--work-dir", metavar="D", type=Path, help="a config's run (default: work_dirs/CONFIG)"
    )
    parser.add_argument(
        "--format", choices=_FORMATS, help="of the rows (default: told by the first row's fields)"
    )
    parser.add_argument("--answers", metavar="FILE", help="bfcl: rows of id and ground_truth")
    parser.add_argument("--tools", metavar="FILE", help="nexusraven: the functions' definitions")
    parser.add_argument("--rows", metavar="N", type=int, help="ask N requests instead of all")
    parser.add_argument(
        "--batch-size", metavar="N", type=int, default=8, help="requests at once (default: 8)"
    )
    parser.add_argument(
        "--max-new-tokens", metavar="N", type=int, default=256, help="of an answer (default: 256)"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="write DIR/results.json")


def run(args: argparse.Namespace) -> None:
    """Ask, print the table and what could not be used, and write the results."""
    from xtune.errors import UsageError, XtuneError

    for name in ("rows", "batch_size", "max_new_tokens"):
        given = getattr(args, name)
        if given is not None and given < 1:
            raise UsageError(f"--{name.replace('_', '-')} {given}: give 1 or more")

    from xtune.eval.tool_answer import ToolTalk
    from xtune.eval.tool_benchmark import ask, load_benchmark

    try:
        benchmark = load_benchmark(
            args.data,
            format=args.format,
            answers=args.answers,
            tools=args.tools,
            max_rows=args.rows,
        )
    except XtuneError as error:
        if also := _also_wrong(args.model):
            raise UsageError(f"{error}{also}") from error
        raise
    how = "as --format says" if args.format else "by the first row's fields"
    _note(f"format: {benchmark.format}, {how}; {len(benchmark.cases)} requests")
    model = _load(args.model, args.adapter, args.work_dir)
    if notice := ToolTalk(model.tokenizer).notice:
        _note(f"notice: {notice}")
    result = ask(
        model,
        benchmark,
        batch_size=args.batch_size,
        max_new_tokens=args.max_new_tokens,
        on_progress=lambda done, total: _note(f"{done} of {total} requests answered"),
    )
    _print_table(result, f"{model.name} on {args.data} ({benchmark.format})")
    for line in benchmark.unusable[:_SHOWN]:
        print(f"unusable: {line}")
    if len(benchmark.unusable) > _SHOWN:
        print(f"unusable: {len(benchmark.unusable) - _SHOWN} more")
    print(f"{len(result.rows)} rows measured, {len(benchmark.unusable)} unusable")
    if args.out is not None:
        print(_write(args.out, result, benchmark, model=model.name, data=args.data))


def _load(given: str, adapter: str | None, work_dir: Path | None) -> ChatModel:
    """The model that a name, a path, a config or a run's folder stands for."""
    from xtune.cli.eval import sheet_and_folder
    from xtune.config import list_configs
    from xtune.config.find import xtuners_name
    from xtune.config.recipe import recipe_of
    from xtune.errors import UsageError
    from xtune.eval.compare import trained_folder
    from xtune.generation.model import ChatModel

    is_run = (Path(given).expanduser() / "config.py").is_file()
    is_config = given.endswith(".py") or given in list_configs() or xtuners_name(given) is not None
    if not (is_run or is_config):
        if work_dir is not None:
            raise UsageError(f"--work-dir is for a config's run, and {given!r} is a model")
        return ChatModel.load(given, adapter=adapter)
    sheet, folder = sheet_and_folder(given, work_dir)
    trained = trained_folder(folder) if adapter is None else Path(adapter)
    if adapter is None and not (trained / "adapter_config.json").is_file():
        return ChatModel.load(str(trained))
    base = recipe_of(sheet.values).base_model
    if base is None:
        raise UsageError(f"{given} names no model that its adapter could be put on")
    return ChatModel.load(base, adapter=trained)


def _also_wrong(given: str) -> str:
    """What is to be said of the model's name too, where the data cannot be read: sentences."""
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


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _print_table(result: EvaluationResult, title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from xtune.eval.result import EvaluationResult

    table = Table("kind", title=title, title_justify="left")
    for column in ("rows", "right tool", "right arguments", "needless calls", "unparsable"):
        table.add_column(column, justify="right")
    for kind in result.by_kind:
        part = EvaluationResult([row for row in result.rows if row.kind == kind])
        table.add_row(kind, *_cells(part))
    table.add_section()
    table.add_row("all", *_cells(result), style="bold")
    Console().print(table)


def _cells(result: EvaluationResult) -> list[str]:
    plain = result.no_needless_calls
    readable = result.check("readable")
    return [
        str(len(result.rows)),
        str(result.check("tool")),
        str(result.check("arguments")),
        f"{plain.total - plain.right} of {plain.total}" if plain.total else "-",
        str(readable.total - readable.right),
    ]


def _write(
    folder: Path, result: EvaluationResult, benchmark: ToolBenchmark, *, model: str, data: str
) -> Path:
    values = {
        "format_version": _FORMAT_VERSION,
        "model": model,
        "data": data,
        "format": benchmark.format,
        "measures": {name: result.check(name)._asdict() for name in result.checks},
        "unusable": benchmark.unusable,
        **result.to_dict(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "results.json"
    file.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    return file
