"""Write a tiny random checkpoint of a config's own family, to try the config without its weights.

xtune tiny-model llama3_8b_qlora_alpaca /tmp/tiny

Next to it lie a few rows in the form of the config's data, and the command that trains two steps on
them is printed. The run goes through the code as with the published checkpoint; what it learns
means nothing.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("config", help="a config's name or path")
    parser.add_argument("out", type=Path, help="the folder to write; must not be there, or empty")
    parser.add_argument("--seed", type=int, default=0, help="of the random weights")


def run(args: argparse.Namespace) -> int:
    """Write the checkpoint and the rows, and print what to do with them."""
    from xtune.config import render
    from xtune.data.examples import write_examples
    from xtune.export.tiny import layers_named, write_tiny

    values = render(args.config).values
    published = values.pretrained_model_name_or_path
    layers = layers_named(values.get("lora"))
    parameters = write_tiny(args.out, published, seed=args.seed, layers=layers)
    data_path = write_examples(args.out, values.data_path, values.map_fn)
    options = [
        f"pretrained_model_name_or_path={args.out}",
        f"data_path={data_path}",
        "max_length=256",
        "accumulative_counts=1",
        "max_steps=2",
    ]
    print(f"{args.out}: {parameters:,} random parameters in the layout of {published}")
    print("Two steps:\n")
    print(f"  xtune train {args.config} --work-dir {args.out}_run --cfg-options \\")
    print(" \\\n".join(f"      {shlex.quote(option)}" for option in options))
    return 0
