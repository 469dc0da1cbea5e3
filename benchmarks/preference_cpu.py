"""Preference learning on a CPU: xtune against TRL 1.16 on the same pairs, from the same start.

    python benchmarks/preference_cpu.py

SmolLM2-135M, LoRA r=16 on all linear layers, DPO with beta 0.1; a process for each run, on one
thread. Both train on the same ids (read back from their own batches), the same pairs a step, in the
same order. TRL runs in an environment of its own, made on first use. Three parts:

    curve    fp32: loss, margin, accuracy and gradient norm of each step, xtune's against TRL's
    speed    pairs a CPU second and peak memory: of the curve's runs, and in bf16 with each of TRL's
             settings, as fast as it can be and as it is by default
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
from typing import Any

from harness.environments import python_of
from harness.machine import machine_lines
from harness.measured import run
from harness.preference_rows import pairs

HERE = Path(__file__).resolve().parent
WARM_UP = 1  # steps
ALLOWED = 1e-4  # difference of a loss or a margin
# name: script, its settings. By default TRL computes the layers again in the backward pass.
CONTENDERS = {
    "xtune": ("xtune", {"checkpointing": False}),
    "xtune, checkpointed": ("xtune", {"checkpointing": True}),
    "TRL, fastest": ("trl", {"checkpointing": False}),
    "TRL, by default": ("trl", {"checkpointing": True}),
}
AHEAD, PEER = "xtune", "TRL, fastest"  # the two of the curve
SPEED, MEMORY = 2.0, 0.5  # the goals


class Bench:
    """Runs contenders on tasks.

    Args:
        folder: for tasks and results.
        under: words that each measured command is put behind.
    """

    def __init__(self, folder: Path, under: Sequence[str]) -> None:
        from xtune.models.gguf import converted_gguf

        self.folder, self.under = folder, under
        self._tokenized: dict[Path, dict[str, Any]] = {}
        self.model = str(converted_gguf("smollm2"))  # a folder that TRL reads too

    def task(self, count: int, *, seed: int = 0, **settings: Any) -> dict[str, Any]:
        """Write rows and their ids, and return what contenders are given."""
        from xtune.data.preferences import PreferenceDataset
        from xtune.models import load_tokenizer

        bounds = {name: settings.pop(name) for name in ("prompt", "answer") if name in settings}
        file = Path(self.model) / "tokenizer.json"
        rows = self.folder / f"rows_{count}_{seed}_{len(bounds)}.jsonl"
        if rows not in self._tokenized:
            made = pairs(count, tokenizer_file=file, seed=seed, **bounds)
            rows.write_text("".join(json.dumps(row) + "\n" for row in made))
            data = PreferenceDataset(
                data_path=str(rows),
                tokenizer=load_tokenizer(self.model),
                map_fn="preference",
                max_length=2048,
                pack_to_max_length=False,
            )
            ids = [_ids(*map(data.sample, data.pack(number))) for number in range(len(data))]
            self._tokenized[rows] = {"rows": str(rows), "pairs": ids}
        given = self._tokenized[rows] | {
            "model": self.model,
            "dtype": "fp32",
            "batch": 4,
            "accumulation": 1,
            "lr": 1e-4,
            "label_smoothing": 0.0,
            "checkpointing": False,
        }
        return given | settings

    def run(self, name: str, *tasks: dict[str, Any]) -> list[dict[str, Any]]:
        """Run a contender, 'xtune' or 'trl', on tasks in one process; what it did of each."""
        given, result = self.folder / "tasks.json", self.folder / "results.json"
        given.write_text(json.dumps(tasks))
        script = HERE / "contenders" / f"preference_{name}.py"
        run(
            [*self.under, python_of(name), script, given, result],
            threads=1,
            environment={
                "PYTHONPATH": str(HERE.parent) if name == "xtune" else "",
                "TOKENIZERS_PARALLELISM": "false",
            },
        )
        results = json.loads(result.read_text())
        for task, found in zip(tasks, results, strict=True):
            print(
                f"{name} {task['dtype']}, checkpointing {task['checkpointing']}: "
                f"{_seconds(found):.1f} CPU s a step, {found['peak_mb']:.0f} MB, "
                f"losses {[round(loss, 5) for loss in found['loss']]}",
                file=sys.stderr,
                flush=True,
            )
        return results


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
    parser.add_argument("--batch", type=int, default=4, help="pairs of a step")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--under", default="", help="a command that each run is started with")
    args = parser.parse_args()
    machine = machine_lines(threads=1)
    lines: list[str] = []
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), shlex.split(args.under))
        exact, half = {}, {}
        if "curve" in args.parts:
            exact = _runs(bench, args, [AHEAD, PEER], "fp32")
            made, wrong = _curve(exact, args)
            lines += made
        if "speed" in args.parts:
            half = _runs(bench, args, list(CONTENDERS), "bf16")
            lines += _speed({"fp32": exact, "bf16": half}, args)
        if "traps" in args.parts:
            lines += _traps(bench)
    command = f"python benchmarks/preference_cpu.py {' '.join(sys.argv[1:])}".strip()
    print("\n".join(["## Preference learning", "", f"`{command}`", "", *lines, *machine]))
    for line in wrong:
        print(line, file=sys.stderr)
    return int(bool(wrong))


def _runs(
    bench: Bench, args: argparse.Namespace, names: Sequence[str], dtype: str
) -> dict[str, dict[str, Any]]:
    count = args.batch * args.steps
    found = {}
    for name in names:
        script, settings = CONTENDERS[name]
        task = bench.task(count, seed=args.seed, batch=args.batch, dtype=dtype, **settings)
        (found[name],) = bench.run(script, task)
    return found


def _curve(
    runs: dict[str, dict[str, Any]], args: argparse.Namespace
) -> tuple[list[str], list[str]]:
    ours, theirs = runs[AHEAD], runs[PEER]
    wrong = _not_the_same_work(ours, theirs)
    rows = []
    largest = dict.fromkeys(("loss", "margin", "accuracy", "grad_norm"), 0.0)
    for step in range(args.steps):
        cells = []
        for name in largest:
            one, other = ours[name][step], theirs[name][step]
            cells.append(f"{one:.6f} | {other:.6f}")
            apart = abs(one - other) / (abs(other) if name == "grad_norm" else 1.0)
            largest[name] = max(largest[name], apart)
            if apart > ALLOWED:
                wrong.append(f"step {step + 1}: {name} {one:.6f}, TRL's {other:.6f}")
        rows.append(f"| {step + 1} | {' | '.join(cells)} |")
    return [
        "### Curve",
        "",
        f"fp32, {args.steps} steps of {args.batch} pairs; allowed is a difference of {ALLOWED}, of "
        "the gradient's norm relative. Largest: "
        + ", ".join(f"{name} {value:.1e}" for name, value in largest.items())
        + ".",
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


def _speed(runs: dict[str, dict[str, dict[str, Any]]], args: argparse.Namespace) -> list[str]:
    rows = []
    for dtype, found in runs.items():
        for name, result in found.items():
            compared = ["", "", ""]
            script, settings = CONTENDERS[name]
            if script == "trl":
                ours = found[next(n for n in found if CONTENDERS[n] == ("xtune", settings))]
                compared = [
                    f"{_seconds(result) / _seconds(ours):.2f}x (goal {SPEED:.0f}x)",
                    f"{ours['peak_mb'] / result['peak_mb']:.2f}x (goal {MEMORY}x)",
                    f"{_added(ours) / _added(result):.2f}x",
                ]
            rows.append(
                f"| {name} | {dtype} | {args.batch / _seconds(result):.3f} | {compared[0]} "
                f"| {result['seen']:,} | {result['peak_mb']:,.0f} | {compared[1]} "
                f"| {_added(result):,.0f} | {compared[2]} |"
            )
    return [
        "### Speed and memory",
        "",
        f"{args.steps} steps of {args.batch} pairs, the first of them warm-up. Positions are those "
        "that went through the layers, in the reference's pass and the policy's, padding included. "
        "Peak memory is the process's, all libraries and weights in it; the last but one column is "
        "what training added to what was held before the first step. TRL's numbers are next to "
        "those of xtune with the same checkpointing.",
        "",
        "| | dtype | pairs / CPU s | xtune's speed | positions | peak MB | xtune's | added MB "
        "| xtune's |",
        "|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _added(result: dict[str, Any]) -> float:
    return result["peak_mb"] - result["before_mb"]


def _traps(bench: Bench) -> list[str]:
    """One step each, on short pairs: what a gradient's norm shows of what was computed."""
    whole = {"batch": 6, "accumulation": 1}
    asked = {
        "6 pairs as one micro-batch": whole,
        "the same 6 as micro-batches of 4 and 2": {"batch": 4, "accumulation": 2},
        "one micro-batch, label_smoothing=0.2": whole | {"label_smoothing": 0.2},
    }
    tasks = [
        bench.task(6, prompt=(20, 40), answer=(5, 30), **settings) for settings in asked.values()
    ]
    ours, theirs = bench.run("xtune", *tasks), bench.run("trl", *tasks)
    rows = zip(asked, ours, theirs, strict=True)
    return [
        "### Where TRL 1.16 computes something else",
        "",
        "Gradient norm of the first step, where every loss is still ln 2. A split of the same "
        "pairs must not change it; a label smoothing of e must multiply it by 1 - 2e.",
        "",
        "| | xtune | TRL |",
        "|---|---|---|",
        *(
            f"| {what} | {one['grad_norm'][0]:.6f} | {other['grad_norm'][0]:.6f} |"
            for what, one, other in rows
        ),
        "",
    ]


if __name__ == "__main__":
    sys.exit(main())
