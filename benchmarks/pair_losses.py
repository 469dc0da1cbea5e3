"""Which method for pairs? Each trains SmolLM2 on the preference demo's pairs, and is measured.

    python benchmarks/pair_losses.py                      all methods, then the table
    python benchmarks/pair_losses.py --methods sigmoid ipo --out work_dirs/pair_losses

The same pairs in the same order, as many steps, the same seed and the same adapter for all; the
learning rate is one for all but those that have one of their own in the list below. A method that
was measured is not measured again: its row lies in `--out`. The table goes to standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from harness.machine import machine_lines

from xtune.config import render
from xtune.engine.runner import Runner
from xtune.eval.evaluate import measure_target
from xtune.eval.target import find_target
from xtune.eval.tasks.preference import PreferenceEvaluation
from xtune.eval.tasks.toolcall import ToolCallEvaluation

CONFIG = "smollm2_135m_dpo_lora"
PAIRS = 120
HELD_OUT = 120


def pairs(loss: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """An algorithm that learns from pairs."""
    return {"type": "PreferenceOptimization", "loss": loss, **settings}


DPO = {"type": "sigmoid", "beta": 0.1}
# name: the algorithm, the config that it trains with, and knobs that differ from that config's
METHODS: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "fine-tuning on the better answers": (
        {"type": "SupervisedFinetune"},
        "smollm2_135m_lora_toolcall",
        {"max_length": 128},  # a pack has the better answers of two pairs, as others two pairs
    ),
    "sigmoid": (pairs(DPO), CONFIG, {}),
    "sigmoid, sft_weight 1": (pairs(DPO, sft_weight=1.0), CONFIG, {}),
    "sigmoid, sft_weight 5": (pairs(DPO, sft_weight=5.0), CONFIG, {}),
    "ipo": (pairs({"type": "ipo", "beta": 0.1}), CONFIG, {}),
    "simpo": (pairs({"type": "simpo", "beta": 2.0, "gamma": 1.0}), CONFIG, {}),
    "cpo": (pairs({"type": "cpo", "beta": 0.1}), CONFIG, {}),
    "orpo": (pairs({"type": "orpo", "beta": 0.1}, nll_on="answer"), CONFIG, {}),
    "kto": (
        {"type": "UnpairedPreferenceOptimization", "loss": {"type": "kto", "beta": 0.1}},
        "smollm2_135m_kto_lora",
        {},
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--out", type=Path, default=Path("work_dirs/pair_losses"))
    args = parser.parse_args()
    rows = [_once(args.out / "untrained", _untrained)]
    for name in args.methods:
        folder = args.out / f"{name.replace(',', '').replace(' ', '_')}_{args.lr:g}"
        rows.append(_once(folder, partial(_trained, name, args.lr)))
    print("\n".join([*machine_lines(), "", *_table(rows)]))


def _once(folder: Path, make: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """The row that lies in a folder; made where there is none."""
    file = folder / "row.json"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(make(folder)) + "\n", encoding="utf-8")
    return dict(json.loads(file.read_text(encoding="utf-8")))


def _untrained(folder: Path) -> dict[str, Any]:
    return {"method": "untrained"} | _asked("smollm2", folder)


def _trained(name: str, lr: float, folder: Path) -> dict[str, Any]:
    """Train by a method, and measure it on what is held out."""
    algorithm, config, knobs = METHODS[name]
    source = "toolcall" if algorithm["type"] == "SupervisedFinetune" else "toolcall_pairs"
    sheet = render(
        config,
        algorithm=algorithm,
        data_path={"type": source, "rows": PAIRS},
        val_data_path=None,
        evaluation_inputs=[],
        lora=render(CONFIG).values.lora.to_dict(),
        lr=lr,
        **knobs,
    )
    began = time.process_time()
    run = Runner(sheet, work_dir=folder).train()
    seconds = time.process_time() - began
    print(f"{name}: {seconds:.0f} s of a processor", file=sys.stderr, flush=True)
    return {"method": name, "lr": lr, "steps": run.step, "cpu_s": seconds} | _asked(folder)


def _asked(model: Path | str, folder: Path | None = None) -> dict[str, Any]:
    """What the table shows of a model, and the margins of the held-out pairs."""
    tasks = {
        "preference": PreferenceEvaluation(data_path="toolcall_pairs"),
        "toolcall": ToolCallEvaluation(data_path="toolcall", max_new_tokens=40),
    }
    out = folder or Path(model) / "evaluation"
    results = measure_target(find_target(str(model)), tasks, folder=out, form="chat", rows=HELD_OUT)
    preference, calls = results["preference"], results["toolcall"]
    return {
        "prefers": preference.measured().mean,
        "logp": preference.measured("logp_better").mean,
        "exact": calls.measured("exact_calls").mean,
        "needless": 1 - calls.measured("no_needless_calls").mean,
        "tokens": calls.measured("answer_tokens").mean,
        "margins": [row.metrics["margin"] for row in preference.rows],
    }


def _table(rows: list[dict[str, Any]]) -> list[str]:
    head = (
        "method",
        "lr",
        "prefers the better one",
        "margin rose",
        "exact calls",
        "needless calls",
        "tokens of an answer",
        "log p(better)",
        "processor s",
    )
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    untrained = rows[0]["margins"]
    for row in rows:
        rose = sum(now > then for now, then in zip(row["margins"], untrained, strict=True))
        trained = "cpu_s" in row
        cells = [
            row["method"],
            f"{row['lr']:g}" if trained else "",
            f"{100 * row['prefers']:.0f} %",
            f"{100 * rose / HELD_OUT:.0f} %" if trained else "",
            f"{100 * row['exact']:.0f} %",
            f"{100 * row['needless']:.0f} %",
            f"{row['tokens']:.1f}",
            f"{row['logp']:.1f}",
            f"{row['cpu_s']:.0f}" if trained else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
