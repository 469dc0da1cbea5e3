"""Train what a config names.

CONFIG is the name of a shipped config (xtune list-cfg) or the path of a file. Results go to
work_dirs/CONFIG: the sheet that ran in config.py, checkpoints/latest, metrics.jsonl, train.log.

Ctrl-C or SIGTERM finish the step and save; --resume goes on as if nothing had happened. Where no
checkpoint has been written yet, --resume starts from the beginning, with a notice, so that one
command line serves a first start and a restart.

On several devices: NPROC_PER_NODE=8 xtune train CONFIG; on several hosts each says besides
NNODES=2 NODE_RANK=0 ADDR=first.host PORT=29500; they wait MEET_TIMEOUT=600 seconds for each other.
Under torchrun or srun it joins what is there.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from xtune.cli.strategy import add_strategy_arguments
from xtune.garbage import lasting_imports

if TYPE_CHECKING:
    from xtune.engine.run import Run

__all__ = ["add_arguments", "run"]

_STARTED_WITH = ("NPROC_PER_NODE", "NNODES", "NODE_RANK", "ADDR", "PORT")  # see launch.py


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("config", metavar="CONFIG", help="a config's name or file")
    parser.add_argument(
        "--work-dir", metavar="D", type=Path, help="where results go (default: work_dirs/CONFIG)"
    )
    parser.add_argument(
        "--cfg-options",
        metavar="K=V",
        nargs="+",
        action="extend",
        default=[],
        help="change the config: lr=1e-5 lora.r=8 data_path=my.json",
    )
    parser.add_argument(
        "--resume",
        metavar="DIR",
        nargs="?",
        const="auto",
        help="go on from the newest whole checkpoint of the work dir, or from the one in DIR",
    )
    add_strategy_arguments(parser)
    parser.add_argument("--seed", metavar="N", type=int, help="the same as --cfg-options seed=N")
    parser.add_argument(
        "--dry-run", action="store_true", help="check everything, load no weights, print the plan"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="go on though the run needs more memory than there is, or no answer of the data ends",
    )


def run(args: argparse.Namespace) -> int:
    """Train, or print the plan; return the exit code."""
    from xtune.cli.launch import launch, wanted_processes
    from xtune.engine.start import run_sheet, sheet_to_run, work_dir_of

    if not args.dry_run and wanted_processes() > 1:
        words = sys.argv[1:]
        return launch(words if words[:1] == ["train"] else ["train", *words])
    options = [*args.cfg_options, *([f"seed={args.seed}"] if args.seed is not None else [])]
    sheet = sheet_to_run(
        args.config,
        options,
        strategy=args.strategy,
        deepspeed=args.deepspeed,
        resume=args.resume,
    )
    work_dir = work_dir_of(sheet, args.work_dir)
    if args.dry_run:
        from xtune.engine.dry_run import make_plan

        print("\n".join(make_plan(sheet, work_dir, resume=args.resume, force=args.force)))
        return 0
    with lasting_imports():  # run_sheet, which a notebook calls too, leaves its objects alone
        importlib.import_module("xtune.engine.runner")
    trained = run_sheet(sheet, work_dir=work_dir, resume=args.resume, force=args.force)
    return _report_end(trained, args) if trained.world.is_main else 0


def _report_end(run: Run, args: argparse.Namespace) -> int:
    """Say what there is now and what to do with it."""
    from xtune.engine.start import how_it_stopped

    if run.interrupted is None:
        latest = run.work_dir / "checkpoints" / "latest"
        print(f"done: {run.step} steps, {run.trained_tokens:,} trained tokens -> {latest}")
        if run.model.trains_scores:
            print(f"score with it: xtune score {run.work_dir} DATA")
        elif (latest / "adapter").is_dir():
            model = run.recipe.base_model
            print(f"talk to it: xtune chat {model} --adapter {latest / 'adapter'}")
        elif (latest / "model").is_dir():
            print(f"talk to it: xtune chat {latest / 'model'}")
        return 0
    has_saved = (run.work_dir / "checkpoints" / "latest").exists()
    again = _command(args, run.work_dir)
    print(
        f"xtune train: {how_it_stopped(run)}\n"
        f"{f'Go on: {again} --resume' if has_saved else f'Begin again: {again}'}",
        file=sys.stderr,
    )
    return 128 + run.interrupted


def _command(args: argparse.Namespace, work_dir: Path) -> str:
    """The command line of this run, but for --resume."""
    words = ["xtune", "train", args.config, "--work-dir", str(work_dir)]
    for flag in ("strategy", "deepspeed"):
        if (value := getattr(args, flag)) is not None:
            words += [f"--{flag}", value]
    words += ["--force"] if args.force else []
    for option in args.cfg_options:
        words += ["--cfg-options", option]
    words += [] if args.seed is None else ["--seed", str(args.seed)]
    started = [f"{name}={os.environ[name]}" for name in _STARTED_WITH if name in os.environ]
    return " ".join([*started, shlex.join(words)])
