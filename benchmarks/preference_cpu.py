"""Preference learning on a CPU: xtune against TRL 1.16 on the same pairs, from the same start.

    python benchmarks/preference_cpu.py

SmolLM2-135M, LoRA r=16 on all linear layers, DPO with beta 0.1; one process for each run, on one
thread. Both train on the same ids (read back from their own batches), the same pairs a step, in the
same order. TRL runs in an environment of its own, made on first use. Three parts:

    curve    fp32: loss, margin, accuracy and gradient norm of each step, xtune's against TRL's
    speed    pairs a CPU second and peak memory, in fp32 and in bf16, against each of TRL's settings
    traps    where TRL 1.16 computes something else than what was asked for

A section of Markdown goes to standard output; the exit code is 1 if the curves part.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from harness.environments import python_of
from harness.machine import machine_lines
from harness.measured import run
from harness.preference_rows import pairs

HERE = Path(__file__).resolve().parent
WARM_UP = 1  # steps
ALLOWED = 1e-4  # difference of a loss or a margin
# name of a setting of TRL: its options
TRL = {"TRL, fastest": {"checkpointing": False}, "TRL, its defaults": {"checkpointing": True}}


class Bench:
    """Runs contenders on tasks.

    Args:
        folder: for tasks and results.
        under: words that each measured command is put behind.
    """

    def __init__(self, folder: Path, under: Sequence[str]) -> None:
        from xtune.models.gguf import converted_gguf

        self.folder, self.under = folder, under
        self.model = str(converted_gguf("smollm2"))  # a folder that TRL reads too

    def task(self, count: int, *, seed: int = 0, **settings: Any) -> dict[str, Any]:
        """Write rows and their ids, and return what contenders are given."""
        from xtune.data.preferences import PreferenceDataset
        from xtune.models import load_tokenizer

        bounds = {name: settings.pop(name) for name in ("prompt", "answer") if name in settings}
        file = Path(self.model) / "tokenizer.json"
        rows = self.folder / f"rows_{count}_{seed}_{len(bounds)}.jsonl"
        made = pairs(count, tokenizer_file=file, seed=seed, **bounds)
        rows.write_text("".join(json.dumps(row) + "\n" for row in made))
        data = PreferenceDataset(
            data_path=str(rows),
            tokenizer=load_tokenizer(self.model),
            map_fn="preference",
            max_length=2048,
            pack_to_max_length=False,
        )
        given = {
            "model": self.model,
            "rows": str(rows),
            "pairs": [_ids(*map(data.sample, data.pack(number))) for number in range(len(data))],
            "dtype": "fp32",
            "batch": 4,
            "accumulation": 1,
            "lr": 1e-4,
            "label_smoothing": 0.0,
            "checkpointing": False,
        }
        return given | settings

    def run(self, name: str, task: dict[str, Any]) -> dict[str, Any]:
        """Run a contender once, 'xtune' or 'trl'."""
        given, result = self.folder / "task.json", self.folder / "result.json"
        given.write_text(json.dumps(task))
        script = HERE / "contenders" / f"preference_{name}.py"
        run(
            [*self.under, python_of(name), script, given, result],
            threads=1,
            environment={
                "PYTHONPATH": str(HERE.parent) if name == "xtune" else "",
                "TOKENIZERS_PARALLELISM": "false",
            },
        )
        found = json.loads(result.read_text())
        print(
            f"{name} {task['dtype']}: {_seconds(found):.1f} CPU s a step, "
            f"{found['peak_mb']:.0f} MB, losses {[round(x, 5) for x in found['loss']]}",
            file=sys.stderr,
            flush=True,
        )
        return found


def _ids(chosen: Any, rejected: Any) -> dict[str, list[int]]:
    """A pair as TRL takes it; the answer begins at the first label."""
    begins = int((chosen.labels != -100).argmax())
    whole = [sample.input_ids.tolist() for sample in (chosen, rejected)]
    assert whole[0][:begins] == whole[1][:begins]
    for sample in (chosen, rejected):  # TRL trains all that follows the prompt
        assert (sample.labels[begins:] == sample.input_ids[begins:]).all()
    return {
        "prompt_ids": whole[0][:begins],
        "chosen_ids": whole[0][begins:],
        "rejected_ids": whole[1][begins:],
    }


def _seconds(result: dict[str, Any]) -> float:
    """CPU seconds of a step, without the warm-up."""
    steps = result["seconds"][WARM_UP:] or result["seconds"]
    return sum(steps) / len(steps)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", nargs="+", default=["curve", "speed", "traps"])
    parser.add_argument("--dtypes", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--batch", type=int, default=4, help="pairs of a step")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--under", default="", help="a command that each run is started with")
    args = parser.parse_args()
    machine = machine_lines(threads=1)
    lines, wrong = [], []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), shlex.split(args.under))
        if "curve" in args.parts:
            made, wrong = _curve(bench, args)
            lines += made
        if "speed" in args.parts:
            lines += _speed(bench, args)
        if "traps" in args.parts:
            lines += _traps(bench)
    command = f"python benchmarks/preference_cpu.py {' '.join(sys.argv[1:])}".strip()
    print("\n".join(["## Preference learning", "", f"`{command}`", "", *lines, *machine]))
    for line in wrong:
        print(line, file=sys.stderr)
    return int(bool(wrong))


def _task(bench: Bench, args: argparse.Namespace, **settings: Any) -> dict[str, Any]:
    return bench.task(args.batch * args.steps, seed=args.seed, batch=args.batch, **settings)


def _curve(bench: Bench, args: argparse.Namespace) -> tuple[list[str], list[str]]:
    task = _task(bench, args)
    ours, theirs = bench.run("xtune", task), bench.run("trl", task)
    wrong = _not_the_same_work(ours, theirs)
    rows = []
    for step in range(args.steps):
        cells = []
        for name in ("loss", "margin", "accuracy", "grad_norm"):
            one, other = ours[name][step], theirs[name][step]
            cells.append(f"{one:.6f} | {other:.6f}")
            scale = max(1.0, abs(other)) if name == "grad_norm" else 1.0
            if abs(one - other) > ALLOWED * scale:
                wrong.append(f"step {step + 1}: {name} {one:.6f}, TRL's {other:.6f}")
        rows.append(f"| {step + 1} | {' | '.join(cells)} |")
    largest = {
        name: max(abs(a - b) for a, b in zip(ours[name], theirs[name], strict=True))
        for name in ("loss", "margin", "grad_norm")
    }
    return [
        "### Curve",
        "",
        f"fp32, {args.steps} steps of {args.batch} pairs, learning rate {task['lr']}. Largest "
        "difference: " + ", ".join(f"{name} {value:.1e}" for name, value in largest.items()) + ".",
        "",
        "| step | loss | TRL | margin | TRL | accuracy | TRL | gradient norm | TRL |",
        "|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        *[f"- **{line}**" for line in wrong],
    ], wrong


def _not_the_same_work(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    wrong = []
    if ours["pairs"] != theirs["pairs"]:
        wrong.append("other pairs, or other steps")
    if ours["trainable"] != theirs["trainable"]:
        wrong.append(f"{ours['trainable']:,} parameters, TRL trains {theirs['trainable']:,}")
    return wrong


def _speed(bench: Bench, args: argparse.Namespace) -> list[str]:
    rows = []
    for dtype in args.dtypes:
        contenders = {"xtune": ("xtune", {})} | {name: ("trl", TRL[name]) for name in TRL}
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
        for _ in range(args.repeats):
            for name, (script, settings) in contenders.items():
                task = _task(bench, args, dtype=dtype, **settings)
                found[name].append(bench.run(script, task))
        rows += _rows(dtype, found, args.batch)
    return [
        "### Speed and memory",
        "",
        f"{args.steps} steps of {args.batch} pairs, the first of them warm-up; medians of "
        f"{args.repeats} runs. Peak memory is the process's; what training adds to what was held "
        "before the first step stands behind it.",
        "",
        "| | dtype | pairs / CPU s | times | real tokens | positions computed | peak MB | share "
        "| added MB | share |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _rows(dtype: str, found: dict[str, list[dict[str, Any]]], batch: int) -> list[str]:
    def middle(name: str, value: Any) -> float:
        return median(map(value, found[name]))

    rows = []
    ours = {
        "speed": middle("xtune", lambda r: batch / _seconds(r)),
        "peak": middle("xtune", lambda r: r["peak_mb"]),
        "added": middle("xtune", lambda r: r["peak_mb"] - r["before_mb"]),
    }
    for name, runs in found.items():
        speed = middle(name, lambda r: batch / _seconds(r))
        peak = middle(name, lambda r: r["peak_mb"])
        added = middle(name, lambda r: r["peak_mb"] - r["before_mb"])
        seen = runs[0]["seen"] or runs[0]["tokens"]
        compared = ["", "", ""]
        if name != "xtune":
            compared = [
                f"xtune {ours['speed'] / speed:.2f}x",
                f"xtune {ours['peak'] / peak:.2f}x",
                f"xtune {ours['added'] / added:.2f}x",
            ]
        rows.append(
            f"| {name} | {dtype} | {speed:.3f} | {compared[0]} | {runs[0]['tokens']:,} "
            f"| {seen:,} | {peak:,.0f} | {compared[1]} | {added:,.0f} | {compared[2]} |"
        )
    return rows


def _traps(bench: Bench) -> list[str]:
    """One step each, on short pairs: what a gradient's norm shows of what was computed."""
    short = {"prompt": (20, 40), "answer": (5, 30)}

    def norm(name: str, **settings: Any) -> float:
        return bench.run(name, bench.task(6, **short, **settings))["grad_norm"][0]

    whole = {"batch": 6, "accumulation": 1}
    split = {"batch": 4, "accumulation": 2}
    smooth = {**whole, "label_smoothing": 0.2}
    rows = [
        ("6 pairs as one micro-batch", norm("xtune", **whole), norm("trl", **whole)),
        ("the same 6 as micro-batches of 4 and 2", norm("xtune", **split), norm("trl", **split)),
        ("one micro-batch, label_smoothing=0.2", norm("xtune", **smooth), norm("trl", **smooth)),
    ]
    return [
        "### Where TRL 1.16 computes something else",
        "",
        "Gradient norm of the first step, where every loss is still ln 2. A split of the same "
        "pairs must not change it; a label smoothing of e must multiply it by 1 - 2e.",
        "",
        "| | xtune | TRL |",
        "|---|---|---|",
        *(f"| {what} | {one:.6f} | {other:.6f} |" for what, one, other in rows),
        "",
    ]


if __name__ == "__main__":
    sys.exit(main())
