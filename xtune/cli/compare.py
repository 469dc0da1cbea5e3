"""Compare two results of `xtune eval`, item by item: what was won, what was lost, what is luck.

BEFORE and AFTER are folders that `xtune eval` has written, or their results.json. The items that
both have are paired: McNemar's exact test where they are right or wrong, else a bootstrap.

  xtune compare work_dirs/x/evaluation/step_000000 work_dirs/x/evaluation/step_000500
  xtune compare base tuned --out compared
"""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("before", metavar="BEFORE", help="a folder with results.json, or that file")
    parser.add_argument("after", metavar="AFTER", help="the same of the other model")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="write report.html and its like there"
    )


def run(args: argparse.Namespace) -> None:
    """Print the tables; write the report if it is asked for."""
    from xtune.cli.eval import print_comparison
    from xtune.eval.comparison import Comparison
    from xtune.eval.pages.report import write_comparison
    from xtune.eval.results import read_results

    before, after = read_results(args.before), read_results(args.after)
    compared = Comparison(f"{before.name} and {after.name}", before, after)
    print_comparison(compared)
    if args.out is not None:
        for path in write_comparison(compared, args.out).values():
            print(path)
