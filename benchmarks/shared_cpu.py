"""How fast training stays when other programs want the processors, as they do on any laptop.

    python benchmarks/shared_cpu.py
    python benchmarks/shared_cpu.py --runtime libiomp5.so --settings - xtune KMP_BLOCKTIME=0

OpenMP's threads wait for each other at the end of each product, and spin meanwhile. 'xtune' is
what `xtune train`, `chat` and `eval` do about it (xtune/parallel/openmp.py), '-' is nothing, and
NAME=VALUE an environment that is read when OpenMP is loaded, so each is a process of its own. They
take turns, a few seconds at a time: next to no busy process, next to one, next to four. A busy
process counts in Python and never waits.

The fair share of t threads on p processors next to k busy processes is p / (t + k) of the quiet
speed. A section of Markdown goes to standard output.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from contextlib import nullcontext
from statistics import median

from harness.machine import machine_lines
from harness.training_step import packs_of, trainer

from xtune.parallel.openmp import sharing_processors

AS_IT_IS, OURS = "-", "xtune"
BUSY = (0, 1, 4)
SETTINGS = [AS_IT_IS, OURS, "GOMP_SPINCOUNT=0", "GOMP_SPINCOUNT=1000", "GOMP_SPINCOUNT=10000"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--settings", nargs="+", default=SETTINGS, metavar="SETTING")
    parser.add_argument("--seconds", type=float, default=4, help="of a turn; one step at least")
    parser.add_argument("--rounds", type=int, default=4, help="turns of each setting and load")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--runtime", metavar="FILE", help="another OpenMP library than torch's own")
    parser.add_argument("--worker", metavar="SETTING", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        with sharing_processors() if args.worker == OURS else nullcontext():
            _work(args.threads)
        return
    workers = {setting: _Worker(setting, args) for setting in args.settings}
    for worker in workers.values():
        worker.turn(3)  # oneDNN makes its kernels
    speed: dict[tuple[str, int], list[float]] = {}
    for number in range(args.rounds):
        for busy in BUSY:
            for setting, worker in workers.items():
                with _BusyProcesses(busy):
                    tokens_a_second = worker.turn(args.seconds)
                speed.setdefault((setting, busy), []).append(tokens_a_second)
                print(
                    f"{number + 1}  {busy} busy  {setting:<24} {tokens_a_second:7.1f} tokens/s",
                    file=sys.stderr,
                )
    for worker in workers.values():
        worker.close()
    print("\n".join([*_section(speed, args), *machine_lines(threads=args.threads)]))


class _Worker:
    """A process with a setting of its own, which trains for a while when it is told to."""

    def __init__(self, setting: str, args: argparse.Namespace) -> None:
        environment = dict(os.environ)
        if "=" in setting:
            environment |= dict([setting.split("=", 1)])
        if args.runtime:
            environment["LD_PRELOAD"] = args.runtime
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--worker", setting, "--threads", str(args.threads)],
            env=environment | {"HF_HUB_OFFLINE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._expect("ready")

    def turn(self, seconds: float) -> float:
        """Tokens a second over so many seconds, and the rest of the last step."""
        assert self._process.stdin is not None
        print(seconds, file=self._process.stdin, flush=True)
        return float(self._expect("speed"))

    def close(self) -> None:
        self._process.communicate("")

    def _expect(self, word: str) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(word):
                return line.removeprefix(word)
        raise SystemExit(f"a process ended with exit code {self._process.wait()}")


class _BusyProcesses:
    """So many programs that never wait, within the `with` block."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __enter__(self) -> None:
        self._processes = [
            subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(self._count)
        ]
        time.sleep(0.3)  # until they run

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


def _work(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    step = trainer()
    batches = packs_of(2, 0.5)
    print("ready", flush=True)
    for line in sys.stdin:
        began, tokens = time.perf_counter(), 0
        while time.perf_counter() - began < float(line):
            step(batches)
            tokens += sum(batch.input_ids.numel() for batch in batches)
        print(f"speed {tokens / (time.perf_counter() - began)}", flush=True)


def _section(speed: dict[tuple[str, int], list[float]], args: argparse.Namespace) -> list[str]:
    processors = os.cpu_count() or 1
    fair = {k: min(1.0, processors / (args.threads + k)) for k in BUSY}
    quiet = median(speed[AS_IT_IS if AS_IT_IS in args.settings else args.settings[0], 0])
    rows = []
    for setting in args.settings:
        cells = []
        for busy in BUSY:
            found = speed[setting, busy]
            share = median(found) / (quiet * fair[busy])
            spread = f"{min(found):.0f} to {max(found):.0f}"
            cells.append(f"{median(found):.0f} ({spread}) | {100 * share:.0f} %")
        name = {AS_IT_IS: "as it is", OURS: "xtune"}.get(setting, f"`{setting}`")
        rows.append(f"| {name} | {' | '.join(cells)} |")
    shares = ", ".join(f"{100 * fair[k]:.0f} % next to {k}" for k in BUSY if k)
    return [
        "## Next to other programs",
        "",
        f"`python benchmarks/shared_cpu.py {' '.join(sys.argv[1:])}`",
        "",
        "SmolLM2-135M, LoRA r=16, a pack of 256 tokens; tokens a second, medians and spread of "
        f"{args.rounds} turns of {args.seconds:g} s, all settings in turns. Each second column is "
        f"the share of what is fair, by the quiet speed as it is: {shares}.",
        "",
        "| setting | quiet | | 1 busy | | 4 busy | |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]


if __name__ == "__main__":
    main()
