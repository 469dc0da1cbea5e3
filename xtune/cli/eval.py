"""Measure what a run has learnt, before and after, and write a report.

What is measured stands in the config's test_cfg. The untouched model is asked first, then the
same model with the newest checkpoint's adapter, or the model that the run trained. The report is
work_dir/report: report.html (everything, one file), report.png, results.json.

  xtune eval work_dirs/smollm2_135m_lora_toolcall
  xtune eval smollm2_135m_lora_toolcall --rows 24
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from xtune.garbage import lasting_imports

if TYPE_CHECKING:
    from xtune.config import Sheet
    from xtune.eval.result import Report

__all__ = ["add_arguments", "run", "sheet_and_folder"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("run", metavar="CONFIG|WORK_DIR", help="a config, or the folder of its run")
    parser.add_argument(
        "--work-dir", metavar="D", type=Path, help="the run's folder (default: work_dirs/CONFIG)"
    )
    parser.add_argument(
        "--adapter", metavar="DIR", help="measure this adapter, not the newest checkpoint"
    )
    parser.add_argument("--rows", metavar="N", type=int, help="ask N requests instead of all")


def run(args: argparse.Namespace) -> None:
    """Measure, write the report, and print the table and where the files are."""
    from xtune.errors import UsageError

    if args.rows is not None and args.rows < 1:
        raise UsageError(f"--rows {args.rows}: ask 1 or more")
    sheet, work_dir = sheet_and_folder(args.run, args.work_dir)

    with lasting_imports():
        from xtune.eval.compare import compare
        from xtune.eval.report import write_report

    report = compare(
        sheet, work_dir, adapter=args.adapter, max_rows=args.rows, on_progress=_progress
    )
    paths = write_report(report, work_dir / "report")
    _print_table(report)
    for path in paths.values():
        print(path)


def sheet_and_folder(given: str, work_dir: Path | None) -> tuple[Sheet, Path]:
    """Return the config that is given, or that a run's folder holds, and the run's folder.

    Args:
        given: a config's name or path, or a run's folder.
        work_dir: the run's folder, if it is given by a flag.

    Raises:
        UsageError: there is no such config, or the folder is no run's.
        ConfigError: the config is wrong.
    """
    from xtune.config import render, require_valid
    from xtune.errors import UsageError
    from xtune.local_path import not_there
    from xtune.names import is_path

    folder = Path(given).expanduser()
    if is_path(given) and not folder.exists():
        raise UsageError(f"{not_there(given, 'run')} Give a run's folder, or a config")
    if folder.is_dir():
        if not (folder / "config.py").is_file():
            raise UsageError(
                f"{given!r} has no config.py, so it is no run's folder; give one that "
                "`xtune train` wrote, or a config"
            )
        sheet = render(str(folder / "config.py"))
        work_dir = work_dir or folder
    else:
        sheet = render(given)
        work_dir = work_dir or Path(sheet.values.get("work_dir") or f"work_dirs/{sheet.name}")
    require_valid(sheet)
    return sheet, work_dir


def _progress(stage: str, done: int, total: int) -> None:
    print(f"{stage} training: {done} of {total} requests answered", file=sys.stderr, flush=True)


def _print_table(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table

    from xtune.eval.result import in_words

    table = Table("kind", title=report.title, title_justify="left")
    for column in ("requests", "right before", "right after"):
        table.add_column(column, justify="right")
    for kind, after in report.after.by_kind.items():
        before = report.before.by_kind[kind]
        table.add_row(in_words(kind), str(after.total), str(before), str(after))
    table.add_section()
    for name, earlier, later in report.totals:
        table.add_row(name, str(later.total), str(earlier), str(later), style="bold")
    Console().print(table)
    if not report.after.checks:
        return
    table = Table("kind", title="By kind, before -> after", title_justify="left")
    for name in report.after.checks:
        table.add_column(name, justify="right")
    for kind in report.after.checked_kinds:
        pairs = [
            [each.check(name, kind) for each in (report.before, report.after)]
            for name in report.after.checks
        ]
        table.add_row(in_words(kind), *(f"{a.right} -> {b.right} of {b.total}" for a, b in pairs))
    Console().print(table)
    print(f"needless calls: {report.before.needless} before, {report.after.needless} after")
