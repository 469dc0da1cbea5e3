"""Write a tiny random checkpoint of a config's own family, to try the config without its weights.

xtune tiny-model llama3_8b_qlora_alpaca /tmp/tiny

Beside it lie a few rows in the form of the config's data, and the command that trains two steps on
them is printed. The run goes through the code as with the published checkpoint; what it learns
means nothing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

__all__ = ["add_arguments", "run"]

_ROWS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("config", help="a config's name or path")
    parser.add_argument("out", type=Path, help="the folder to write; must not be there, or empty")
    parser.add_argument("--seed", type=int, default=0, help="of the random weights")


def run(args: argparse.Namespace) -> int:
    """Write the checkpoint and the rows, and print what to do with them."""
    from xtune.checkpoint.tiny import write_tiny
    from xtune.config import render

    values = render(args.config).values
    published = values.pretrained_model_name_or_path
    parameters = write_tiny(args.out, published, seed=args.seed)
    options = [f"pretrained_model_name_or_path={args.out}", *_data_options(values, args.out)]
    options += ["max_length=256", "accumulative_counts=1", "max_steps=2"]
    print(f"{args.out}: {parameters:,} random parameters in the layout of {published}")
    print("Two steps:\n")
    print(f"  xtune train {args.config} --work-dir {args.out}_run --cfg-options \\")
    print("\n".join(f"      {option} \\" for option in options).removesuffix(" \\"))
    return 0


def _data_options(values: Any, folder: Path) -> list[str]:
    """Write rows for a config's map_fn; nothing for data that are made here anyway."""
    from xtune.data.formats import all_formats
    from xtune.registry import SOURCES, names_alone

    if values.data_path in names_alone(SOURCES, "split"):
        return []
    if values.map_fn not in all_formats():
        return ["data_path=ROWS.jsonl"]  # a form of the user's own
    row = json.dumps(all_formats()[values.map_fn].row, ensure_ascii=False)
    file = folder / "rows.jsonl"
    file.write_text(f"{row}\n" * _ROWS, encoding="utf-8")
    return [f"data_path={file}"]
