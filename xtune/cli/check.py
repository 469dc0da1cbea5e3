"""Check a config without loading any weights, and print every problem at once.

The first hundred rows of data on this disk are read, and the tokenizer's ids are compared with the
model's rows. Exit code 0 when there is no problem, 2 when there are any. With --json the problems
are a list of objects with file, line, key, value, message and hint.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xtune.config import Problem, Sheet

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("config", help="name or path of a config")
    parser.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="K=V", help="e.g. lr=1e-5 lora.r=8"
    )
    parser.add_argument("--json", action="store_true", help="print the problems as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the problems; 0 when there are none, else 2."""
    from xtune.cli.check_contents import contents_of
    from xtune.config import Problem, check, render
    from xtune.errors import ConfigError

    try:
        sheet = render(args.config, args.cfg_options)
    except ConfigError as error:  # a file or an option that cannot even be read
        if not args.json:
            raise
        _print_json([Problem("", 0, "", "", line, "") for line in str(error).splitlines()])
        return error.exit_code
    problems = check(sheet)
    notes: list[str] = []
    if not problems:
        problems, notes = contents_of(sheet)
    if args.json:
        _print_json(problems)
    elif problems:
        for problem in problems:
            print(problem)
    else:
        print(f"{sheet.name}: no problems{_left_open(sheet)}")
    for note in notes if not args.json else ():
        print(f"  note: {note}")
    return 2 if problems else 0


def _left_open(sheet: Sheet) -> str:
    """What could not be checked here, in words; or ''."""
    from xtune.config.adapters import config_is_here, names_modules

    model = sheet.values["model"]
    name = (model.get("llm") or {}).get("pretrained_model_name_or_path")
    if not names_modules(model.get("adapter")) or config_is_here(name):
        return ""
    return (
        f"; but the adapter's names of modules were not matched, since the config.json of {name!r} "
        "is not on this disk: the run does so before it loads the weights"
    )


def _print_json(problems: Sequence[Problem]) -> None:
    print(json.dumps([problem.to_dict() for problem in problems], indent=2))
