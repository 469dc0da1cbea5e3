"""Start-up: `xtune --help`, and from the command to the first optimizer step of the demo.

    python benchmarks/start_up.py --repeats 3

With warm caches: weights converted, data tokenised, files in the page cache; a run before the
measured ones sees to that. A section of Markdown goes to standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from harness.environments import NotInstallable, python_of
from harness.machine import machine_lines
from harness.measured import ProgramFailed, run

HERE = Path(__file__).resolve().parent
DEMO = "smollm2_135m_lora_toolcall"
GOALS = {"help": 0.3, "first step": 10.0}  # seconds
PEERS = {
    "TRL": ("trl", "trl", "--help"),
    "LLaMA-Factory": ("llamafactory", "llamafactory-cli", "version"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--peers", action="store_true", help="the peers' commands too")
    args = parser.parse_args()
    machine = machine_lines(threads=args.threads)
    xtune = Path(sys.executable).with_name("xtune")
    run([xtune, "--help"])
    helps = [run([xtune, "--help"]).seconds for _ in range(max(args.repeats, 5))]
    rows = [_row("xtune --help", helps, GOALS["help"])]
    for name, (environment, *command) in PEERS.items() if args.peers else ():
        rows.append(_peer(name, environment, command, args.repeats))
    _first_step(args.threads)
    commands = [_first_step(args.threads) for _ in range(args.repeats)]
    rows.append(_row(f"xtune train {DEMO}, to the end of step 1", commands, GOALS["first step"]))
    parts = [_parts(args.threads) for _ in range(args.repeats)]
    print(
        "\n".join(
            [
                "## Start-up",
                "",
                f"`python benchmarks/start_up.py {' '.join(sys.argv[1:])}`",
                "",
                "| | median, s | spread | goal, s |",
                "|---|---|---|---|",
                *rows,
                "",
                "Where the time to the first step goes; CPU seconds are of all threads:",
                "",
                "| part | s | CPU s | what it is |",
                "|---|---|---|---|",
                *_breakdown(parts),
                "",
                *machine,
            ]
        )
    )


def _row(what: str, seconds: list[float], goal: float | None) -> str:
    return (
        f"| {what} | **{median(seconds):.2f}** | {min(seconds):.2f} to {max(seconds):.2f} "
        f"| {goal or ''} |"
    )


def _peer(name: str, environment: str, command: list[str], repeats: int) -> str:
    program, *words = command
    try:
        path = python_of(environment).with_name(program)
        run([path, *words])
        return _row(" ".join(command), [run([path, *words]).seconds for _ in range(repeats)], None)
    except (NotInstallable, ProgramFailed) as error:
        return f"| {name} | {str(error).strip().splitlines()[-1][:100]} | | |"


def _first_step(threads: int) -> float:
    """Seconds from the command to the end of its first optimizer step, which the run notes."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.time()
        options = ["--work-dir", folder, "--cfg-options", "max_steps=1"]
        run([sys.executable, HERE.parent / "tools/train.py", DEMO, *options], threads=threads)
        first = json.loads((Path(folder) / "metrics.jsonl").read_text().splitlines()[0])
    return first["time"] - began


def _parts(threads: int) -> list[dict]:
    script = HERE / "contenders/first_step.py"
    with tempfile.TemporaryDirectory() as folder:
        measured = run([sys.executable, script, DEMO, folder], threads=threads)
    return json.loads(measured.stdout.splitlines()[-1])


WHAT = {
    "python": "the interpreter, and psutil for this clock",
    "config": "finding, joining and running the config",
    "imports": "torch, transformers, PEFT and xtune's engine",
    "data": "checking the sheet, the tokenizer, the token cache, the packs",
    "memory check": "what the run needs, found without values",
    "model": "probing the processor, the weights, the adapter, the optimizer",
    "hooks": "the untouched model's answers, and TensorBoard",
    "first step": "forward, backward and optimizer, the first time",
}


def _breakdown(parts: list[list[dict]]) -> list[str]:
    lines = []
    for name, what in WHAT.items():
        own = [part for run_ in parts for part in run_ if part["part"] == name]
        seconds, cpu = (median(part[key] for part in own) for key in ("seconds", "cpu"))
        lines.append(f"| {name} | {seconds:.2f} | {cpu:.2f} | {what} |")
    return lines


if __name__ == "__main__":
    main()
