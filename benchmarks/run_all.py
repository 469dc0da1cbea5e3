"""All measurements on the CPU, one after the other, on one dated page: `make bench`.

    python benchmarks/run_all.py

Takes half an hour to an hour on two idle cores, the making of the peers' environments not counted.
Nothing else should run meanwhile: the page says what the load was. A part that fails is said to
have failed, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

from harness.environments import NotInstallable, python_of
from harness.machine import machine_lines

HERE = Path(__file__).resolve().parent
SHORT = ["--packs", "5", "--gate-steps", "2"]
TWO = ["--contenders", "xtune", "TRL packed"]  # TRL's packing is the fastest of the peers
PARTS = [
    ["sft_cpu.py", "--method", "lora", *SHORT],
    ["sft_cpu.py", "--method", "full", *SHORT, *TWO],
    ["sft_cpu.py", "--method", "qlora", *SHORT, *TWO],
    ["bound.py"],
    ["growth.py", "--rows", "2000", "8000", "32000"],
    ["data_preparation.py", "--rows", "50000"],
    ["start_up.py", "--peers"],
    ["chat_speed.py"],
    ["serve_cpu.py"],
    ["compiled.py"],
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    today = date.today()  # also if it takes until tomorrow
    plot = args.out / f"{today}_growth.png"
    for environment in ("trl", "llamafactory"):
        try:
            python_of(environment)
        except NotInstallable as error:
            print(f"{environment}: not installable here: {error}", file=sys.stderr)
    page = [f"# Measurements on a CPU, {today}", "", "`make bench`", "", *machine_lines()]
    began, failed = time.monotonic(), 0
    for script, *words in PARTS:
        if script == "growth.py":
            words += ["--plot", os.path.relpath(plot)]
        print(f"{time.monotonic() - began:6.0f} s  {script} {' '.join(words)}", file=sys.stderr)
        done = subprocess.run(
            [sys.executable, str(HERE / script), *words], stdout=subprocess.PIPE, text=True
        )
        failed += bool(done.returncode)
        page += ["", done.stdout.rstrip()]
        if done.returncode:
            page += [f"**`{script} {' '.join(words)}` failed, exit code {done.returncode}.**"]
    page += ["", f"All of it took {(time.monotonic() - began) / 60:.0f} minutes."]
    path = args.out / f"{today}_cpu.md"
    path.write_text("\n".join(page) + "\n", encoding="utf-8")
    print(f"written to {path}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
