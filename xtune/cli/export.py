"""Write a model that other programs load: an adapter merged into its base, or a layout changed.

  xtune export work_dirs/internlm2_7b_qlora_alpaca OUT
  xtune export internlm/internlm2-7b OUT --adapter work_dirs/internlm2_7b_qlora_alpaca
  xtune export work_dirs/baichuan2_7b_full_alpaca OUT --layout original

Layouts: 'transformers' is read by AutoModelForCausalLM with no further code; 'original' has the
names, shapes and config.json of the published checkpoint, for whatever served that. The folder is
read back and must give the same logits before it gets its name.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "model", metavar="MODEL", help="a hub id, a folder, or a run's work_dir: of an adapter too"
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="a folder that is not there yet")
    parser.add_argument(
        "--adapter", metavar="DIR", help="merge this adapter, or the one in this work_dir"
    )
    parser.add_argument(
        "--layout",
        choices=("transformers", "original"),
        help="default: transformers, where an architecture of its computes the same",
    )
    parser.add_argument(
        "--dtype",
        choices=("auto", "fp32", "bf16", "fp16"),
        default="auto",
        help="of the weights; auto: what the model's config.json says",
    )


def run(args: argparse.Namespace) -> None:
    """Load, merge, write, read back, compare."""
    from xtune.errors import UsageError
    from xtune.generation.locate import locate, training_notes

    out: Path = args.out.expanduser()
    if out.exists():
        raise UsageError(f"{out} exists already: give a folder that is not there yet")
    found = locate(args.model, args.adapter)
    adapter, notes = found.adapter, training_notes(found.trained)

    from xtune.checkpoint.meta import weights_apart
    from xtune.export.merge import export_model

    written = export_model(
        found.model, out, adapter=adapter, notes=notes, layout=args.layout, dtype=args.dtype
    )
    apart = weights_apart(found.trained.parent)
    for name in apart:
        shutil.copytree(found.trained.parent / name, out / name)
    print(
        f"{out}: {written.parameters:,} parameters in {written.dtype}, {written.layout} layout"
        f"{'' if adapter is None else f', with {adapter} merged in'}\n"
        f"read back: logits differ by {written.difference:.1e} of the largest"
        f"{'' if adapter is None else ' from those of the base with its adapter'}\n"
        + "".join(f"{name}/: copied; it was trained next to the model\n" for name in apart)
        + (
            f"score with it: xtune score {out} DATA"
            if written.scores
            else f"talk to it: xtune chat {out}"
        )
    )
