"""Evaluation by likelihood: xtune's scorer against lm_eval 0.4.13 on the same requests.

    python benchmarks/eval_cpu.py

SmolLM2-135M in fp32 on one thread; each contender in a process of its own, with CPU seconds from
the texts to the numbers (a busy machine does not change those much) and the most memory that the
process held, weights included. lm_eval's own environment is made on the first run. A section of
Markdown goes to standard output; the exit code is 1 if a number differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.environments import python_of
from harness.likelihood_rows import five_shot_letters, hellaswag_like, zero_shot_mix
from harness.machine import machine_lines
from harness.measured import run

HERE = Path(__file__).resolve().parent
# Largest difference of a log-likelihood, for each 10 tokens begun. In the four endings of 39 tokens
# that differ most, lm_eval is up to 3.3e-4 from float64, ours 2.4e-5 (2026-11-30)
ALLOWED = 1e-4
BATCH = 8


@dataclass(frozen=True)
class Work:
    """Requests, and what is to be reached on them: times the speed, times the memory."""

    name: str
    pairs: Sequence[tuple[str, str]]
    speed: float
    memory: float | None = None

    @property
    def items(self) -> int:
        """Different contexts."""
        return len({context for context, _ in self.pairs})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ways", nargs="+", default=["auto"], help="of xtune: auto, cache, single")
    parser.add_argument("--only", nargs="+", type=int, help="which of the works, from 0")
    args = parser.parse_args()
    works = [
        Work("MMLU-like, 5 shots", five_shot_letters(args.seed), 3.5, 1 / 3),
        Work("zero-shot mix", zero_shot_mix(args.seed), 3.0),
        Work("HellaSwag-like, 0 shots", hellaswag_like(args.seed), 3.0),
    ]
    machine = machine_lines(threads=1)
    from xtune.models.gguf import converted_gguf

    model = converted_gguf("smollm2")  # a folder that lm_eval reads too
    rows, failed = [], False
    with tempfile.TemporaryDirectory() as folder:
        for number, work in enumerate(works):
            if args.only is None or number in args.only:
                made, missed = _compared(work, str(model), Path(folder), args.ways)
                rows += made
                failed |= missed
    print(
        "\n".join(
            [
                "## Evaluation by likelihood",
                "",
                f"`python benchmarks/eval_cpu.py {' '.join(sys.argv[1:])}`".replace(" `", "`"),
                "",
                "SmolLM2-135M, fp32, one thread; lm_eval 0.4.13 (HFLM, batches of "
                f"{BATCH}). Speed is in items a CPU second, times lm_eval's; memory likewise. The "
                "last column is the largest difference of a log-likelihood from lm_eval's, and how "
                "many tokens the longest continuation has.",
                "",
                "| | items | requests | CPU s | items/CPU s | speed | goal | peak MB | memory "
                "| goal | difference |",
                "|---|---|---|---|---|---|---|---|---|---|---|",
                *rows,
                "",
                *machine,
            ]
        )
    )
    return int(failed)


def _compared(work: Work, model: str, folder: Path, ways: Sequence[str]) -> tuple[list[str], bool]:
    pairs, out = folder / "pairs.json", folder / "out.json"
    pairs.write_text(json.dumps(work.pairs), encoding="utf-8")

    def measured(environment: str, script: str, word: str) -> dict:
        command = [python_of(environment), HERE / "contenders" / script, model, pairs, out, word]
        path = str(HERE.parent) if environment == "xtune" else ""
        run(command, threads=1, environment={"PYTHONPATH": path})
        result = json.loads(out.read_text(encoding="utf-8"))
        print(
            f"{work.name}: {script} {word} {result['seconds']:.1f} s, {result['peak_mb']:.0f} MB",
            file=sys.stderr,
            flush=True,
        )
        return result

    theirs = measured("lm_eval", "eval_lm_eval.py", str(BATCH))
    rows, failed = [_row(f"{work.name}: lm_eval", work, theirs)], False
    for way in ways:
        ours = measured("xtune", "eval_xtune.py", way)
        speed = theirs["seconds"] / ours["seconds"]
        memory = ours["peak_mb"] / theirs["peak_mb"]
        differences = [
            abs(one - other)
            for one, other in zip(ours["log_probs"], theirs["log_probs"], strict=True)
        ]
        tens = [-(-tokens // 10) for tokens in ours["lengths"]]
        name = "xtune" if way == "auto" else f"xtune, {way}"
        rows.append(
            _row(
                f"{work.name}: {name} ({ours['tokens']:,} tokens)",
                work,
                ours,
                f"{speed:.2f}x",
                f"{work.speed}x",
                f"{memory:.2f}x",
                "" if work.memory is None else f"{work.memory:.2f}x",
                f"{max(differences):.1e} of {max(ours['lengths'])} tokens",
            )
        )
        too_far = any(d > n * ALLOWED for d, n in zip(differences, tens, strict=True))
        failed |= too_far or ours["greedy"] != theirs["greedy"]
    return rows, failed


def _row(name: str, work: Work, result: dict, *compared: str) -> str:
    speed, goal, memory, least, difference = compared or ("1x", "", "1x", "", "")
    rate = work.items / result["seconds"]
    return (
        f"| {name} | {work.items} | {len(work.pairs)} | {result['seconds']:.1f} | {rate:.2f} "
        f"| {speed} | {goal} | {result['peak_mb']:,.0f} | {memory} | {least} | {difference} |"
    )


if __name__ == "__main__":
    sys.exit(main())
