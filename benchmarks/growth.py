"""How cost grows: a training step with its pack, data preparation and memory with the rows.

    python benchmarks/growth.py --plot growth.png

A step is forward, backward, clipping and the optimizer of a LoRA run of SmolLM2-135M, on random
tokens. Each line of costs is fitted by cost = c * size^e; the exponent e is 1 where cost is linear.
A section of Markdown goes to standard output, the plots into one picture.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from harness.alpaca_like import write_rows
from harness.machine import machine_lines
from harness.measured import run
from harness.training_step import DOCUMENT, packs_of, trainer

HERE = Path(__file__).resolve().parent
PACK = 1024  # tokens, where the pack does not grow
STEPS = 3  # measured, after one that is not
GOAL = 5.0  # times the step time of 1,024 tokens is the most that 4,096 may take


@dataclass
class Line:
    """Costs by size.

    Attributes:
        name: what is measured.
        size: what grows.
        unit: of the costs.
        points: size to cost.
        expected: what its exponent should be at the most.
    """

    name: str
    size: str
    unit: str
    points: dict[float, float]
    expected: str

    @property
    def exponent(self) -> float:
        """The slope of log cost over log size, least squares."""
        sizes, costs = np.log(list(self.points)), np.log(list(self.points.values()))
        return float(np.polyfit(sizes, costs, 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 1024, 2048, 4096])
    parser.add_argument("--documents", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.25, 0.5, 1.0])
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000, 8_000, 32_000, 128_000])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--plot", type=Path, default=HERE / "results/growth.png")
    args = parser.parse_args()
    machine = machine_lines(threads=args.threads)
    lines = [*_step_lines(args), *_row_lines(args)]
    _plot(lines, args.plot)
    print(_section(lines, args))
    print("\n".join(machine))


def _step_lines(args: argparse.Namespace) -> list[Line]:
    import torch

    torch.set_num_threads(args.threads)
    step = trainer()
    times, memory, documents, shares = {}, {}, {}, {}
    for length in args.lengths:
        times[length], memory[length] = _measured(step, length // DOCUMENT, 0.5)
    for count in args.documents:  # as many to a step, in packs of one length
        documents[count * PACK // DOCUMENT], _ = _measured(step, PACK // DOCUMENT, 0.5, packs=count)
    for share in args.shares:
        shares[share], _ = _measured(step, PACK // DOCUMENT, share)
    each = f"documents of {DOCUMENT}"
    return [
        Line(f"step, {each}", "tokens of a pack", "s", times, "1"),
        Line(f"step's memory, {each}", "tokens of a pack", "MB", memory, "1"),
        Line(f"step, packs of {PACK}", f"{each} a step", "s", documents, "1"),
        Line(f"step, a pack of {PACK}", "share of trained tokens", "s", shares, "below 1"),
    ]


def _measured(
    step: Callable, documents: int, share: float, *, packs: int = 1
) -> tuple[float, float]:
    """Seconds of a step, and the most MB of tensors that it makes and holds."""
    from xtune.planning.tracing import LiveBytes

    batches = packs_of(documents, share, packs=packs)
    step(batches)
    with LiveBytes() as live:  # the process's own memory says little: what was freed is used again
        step(batches)
    seconds = []
    for _ in range(STEPS):
        began = time.perf_counter()
        step(batches)
        seconds.append(time.perf_counter() - began)
    print(f"{packs} x {documents} documents, {share}: {seconds}", file=sys.stderr, flush=True)
    return median(seconds), live.peak / 2**20


def _row_lines(args: argparse.Namespace) -> list[Line]:
    from xtune.models.gguf import converted_gguf

    model = converted_gguf("smollm2")
    times, memory = {}, {}
    for count in args.rows:
        with tempfile.TemporaryDirectory() as name:
            rows = Path(name) / "rows.jsonl"
            write_rows(rows, count, tokenizer_file=model / "tokenizer.json")
            script = HERE / "contenders/prepare_xtune.py"
            measured = run(
                [sys.executable, script, rows, model, str(PACK)], environment={"XTUNE_CACHE": name}
            )
        made = json.loads(measured.stdout.splitlines()[-1])
        times[count], memory[count] = made["seconds"], made["memory_mb"]
        print(f"{count} rows: {made}", file=sys.stderr, flush=True)
    return [
        Line("data preparation", "rows", "s", times, "1"),
        Line("its memory, imports included", "rows", "MB", memory, "near 0"),
    ]


def _plot(lines: list[Line], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6.5), layout="constrained")
    for place, line in enumerate(lines, start=1):
        axes = figure.add_subplot(2, -(-len(lines) // 2), place)
        sizes, costs = list(line.points), list(line.points.values())
        axes.loglog(sizes, costs, "o-", label="measured")
        linear = [costs[0] * size / sizes[0] for size in sizes]
        axes.loglog(sizes, linear, ":", color="gray", label="linear")
        axes.set(title=f"{line.name}: exponent {line.exponent:.2f}", xlabel=line.size)
        axes.set_ylabel(line.unit)
        axes.set_ylim(bottom=min(*costs, *linear) / 2, top=max(*costs, *linear) * 2)
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


def _section(lines: list[Line], args: argparse.Namespace) -> str:
    rows = []
    for line in lines:
        points = ", ".join(f"{size:,}: {cost:.3g}" for size, cost in line.points.items())
        rows.append(
            f"| {line.name} ({line.unit}) | {line.size} | {points} | **{line.exponent:.2f}** "
            f"| {line.expected} |"
        )
    steps = lines[0].points
    longer = ""
    if {1024, 4096} <= steps.keys():
        ratio = steps[4096] / steps[1024]
        longer = (
            f"A pack of 4,096 takes {ratio:.2f} times as long as one of 1,024 (goal: under {GOAL})."
        )
    return "\n".join(
        [
            "## Growth",
            "",
            f"`python benchmarks/growth.py {' '.join(sys.argv[1:])}`",
            "",
            f"cost = c · size^e, SmolLM2-135M, LoRA r=16; medians of {STEPS} steps. {longer}",
            "",
            "| cost | of what | measured | e | e should be |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"![Growth]({args.plot.name})",
            "",
        ]
    )


if __name__ == "__main__":
    main()
