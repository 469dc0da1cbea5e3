"""What torch.compile gives a training step on a CPU, and what it costs before it gives anything.

    python benchmarks/compiled.py

A LoRA run of SmolLM2-135M in the precision that the machine prefers, on a pack of 1,024 random
tokens in documents of 128. Contenders take turns, step by step, in one process: xtune as it is; the
same with its norms and MLP activations compiled; the family's own layers (`fused=False`) as they
are, and with norms and MLPs compiled. Whole layers are left out: after four minutes they were still
being compiled. Compiling pays after as many steps as what it takes is times what it saves a step.
`xtune train` compiles nothing; this is why. A section of Markdown goes to standard output.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from statistics import median
from typing import Any

from harness.machine import machine_lines
from harness.training_step import packs_of, trainer

PLAIN = "xtune"
WARM_UP = 2  # steps in which what is compiled is compiled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=12, help="measured, after two that are not")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()

    import torch

    torch.set_num_threads(args.threads)
    machine = machine_lines(threads=args.threads)
    contenders = {
        PLAIN: trainer(),
        "xtune, norms and activations compiled": trainer(change=_compile_pieces),
        "not fused": trainer(fused=False),
        "not fused, norms and MLPs compiled": trainer(fused=False, change=_compile_mlps),
    }
    batches = packs_of(8, 0.5)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(WARM_UP + args.steps):
        for name, step in contenders.items():
            began = time.perf_counter()
            step(batches)
            seconds[name].append(time.perf_counter() - began)
            print(f"step {number + 1}  {name:<38} {seconds[name][-1]:6.2f} s", file=sys.stderr)
    print("\n".join([*_section(seconds), *machine]))


def _compile_pieces(model: Any) -> None:
    for module in model.modules():
        if type(module).__name__.endswith(("RMSNorm", "SiLU", "SiLUActivation")):
            module.compile(dynamic=True)


def _compile_mlps(model: Any) -> None:
    for module in model.modules():
        if type(module).__name__.endswith(("RMSNorm", "MLP")):
            module.compile(dynamic=True)


def _section(seconds: dict[str, list[float]]) -> list[str]:
    steady = {name: median(each[WARM_UP:]) for name, each in seconds.items()}
    extra = {name: sum(each[:WARM_UP]) - WARM_UP * steady[name] for name, each in seconds.items()}
    rows = []
    for name, step in steady.items():
        cost, saved = extra[name] - extra[PLAIN], steady[PLAIN] - step
        pays = "" if name == PLAIN else f"{cost / saved:,.0f}" if saved > 0 else "never"
        spread = f"{min(seconds[name][WARM_UP:]):.2f} to {max(seconds[name][WARM_UP:]):.2f}"
        rows.append(f"| {name} | {step:.2f} | {spread} | {extra[name]:.1f} | {pays} |")
    return [
        "## torch.compile",
        "",
        f"`python benchmarks/compiled.py {' '.join(sys.argv[1:])}`",
        "",
        "SmolLM2-135M, LoRA r=16, a pack of 1,024 tokens in documents of 128; medians of "
        f"{len(seconds[PLAIN]) - WARM_UP} interleaved steps after {WARM_UP}.",
        "",
        "| | a step, s | spread | the first two, beyond that, s | pays after steps |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ]


if __name__ == "__main__":
    main()
