"""Write what another program needs to run a model, or a run's adapter, just as `xtune chat` does.

TARGET is vllm, sglang, lmdeploy, llamacpp, ollama or opencompass. The folder gets a README with the
commands. What the program could not run as xtune does is refused, with the next step.

  xtune handover work_dirs/my_run vllm
  xtune handover smollm2 opencompass --adapter work_dirs/my_run --out handed
"""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "model", metavar="MODEL", help="a hub id, a folder, or a run's work_dir: of an adapter too"
    )
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="the program: vllm, sglang, lmdeploy, llamacpp, ollama or opencompass",
    )
    parser.add_argument(
        "--adapter", metavar="DIR", help="with this adapter, or the one in this work_dir"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="a folder that is not there yet (default: here, the model's name and TARGET's)",
    )


def run(args: argparse.Namespace) -> None:
    """Find the model, check it, write the folder, and say what to run."""
    from xtune.errors import UsageError
    from xtune.serve.handover.targets import takes_any_layout, target_named, targets

    if args.model in targets() and args.target not in targets():
        raise UsageError(f"the model comes first: xtune handover {args.target} {args.model}")
    write = target_named(args.target)
    if args.out is not None:
        _require_new(args.out)

    from xtune.checkpoint.disk import whole_folder
    from xtune.serve.handover.given import Given

    given = Given.find(
        args.model,
        args.adapter,
        target=args.target,
        any_layout=takes_any_layout(args.target),
    )
    shown = args.out or Path(f"{given.name}_{args.target}")
    _require_new(shown)
    out = shown.expanduser().resolve()
    with whole_folder(out) as folder:
        folder.mkdir()
        command = write(given, folder, out)
    for notice in given.notices:
        print(f"notice: {notice}")
    print(f"{shown}: written and checked; README.md there says how it is installed and run")
    print(command)


def _require_new(out: Path) -> None:
    from xtune.errors import UsageError

    if out.expanduser().exists():
        raise UsageError(f"{out} exists already: give --out a folder that is not there yet")
