"""Whole training runs on a tiny model, through the shipped config `custom_sft_lora`.

inputs = write_inputs(tmp_path)                      # a tiny Llama and 48 dialogues
run = train(inputs, tmp_path / "run", "lr=1e-2")  # in this process: about a second
losses(tmp_path / "run")                             # the loss column of metrics.jsonl
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.tiny import write_tiny_llama

__all__ = [
    "Inputs",
    "inputs_in",
    "losses",
    "metrics",
    "options",
    "sheet_of",
    "train",
    "write_inputs",
]

WORDS = "have miles what is that in kilometres weather alarm seven Thank you all Paris"


@dataclass(frozen=True)
class Inputs:
    """A model's folder and two data files."""

    model: Path
    data: Path
    val: Path


def inputs_in(folder: Path) -> Inputs:
    """What `write_inputs` has written."""
    return Inputs(folder / "llama", folder / "data.jsonl", folder / "val.jsonl")


def write_inputs(folder: Path) -> Inputs:
    """Write a tiny Llama, 48 dialogues to train on and 6 to validate on, and 48 pairs."""
    inputs = inputs_in(folder)
    write_tiny_llama(inputs.model)
    _write_dialogues(inputs.data, 48, random.Random(0))
    _write_dialogues(inputs.val, 6, random.Random(1))
    _write_pairs(folder / "pairs.jsonl", 48, random.Random(2))
    return inputs


def options(inputs: Inputs) -> list[str]:
    """What makes a shipped config small: 24 steps of two packs, with dropout, in fp32."""
    return [
        f"pretrained_model_name_or_path={inputs.model}",
        f"data_path={inputs.data}",
        "map_fn=openai",
        "max_length=128",
        "accumulative_counts=2",
        "max_steps=24",
        "lr=1e-2",
        "lora.r=4",
        "lora.lora_dropout=0.1",
        "save_steps=5",
        "save_total_limit=3",
        "evaluation_inputs=[]",
        "strategy.precision=fp32",
        "default_hooks.tensorboard=None",
        "default_hooks.loss_curve=None",
    ]


def sheet_of(inputs: Inputs, *further: str, config: str = "custom_sft_lora") -> Any:
    """Render a config made small; `lora` options are left out where there is no adapter."""
    from xtune.config import render

    chosen = [o for o in options(inputs) if "_full" not in config or not o.startswith("lora.")]
    return render(config, [*chosen, *further])


def train(inputs: Inputs, work_dir: Path, *further: str, resume: str | None = None) -> Any:
    """Run it in this process; return the run as it has ended."""
    from xtune.engine.runner import Runner

    return Runner(sheet_of(inputs, *further), work_dir=work_dir, resume=resume).train()


def metrics(work_dir: Path) -> list[dict[str, Any]]:
    """Every line of metrics.jsonl."""
    return [json.loads(line) for line in (work_dir / "metrics.jsonl").read_text().splitlines()]


def losses(work_dir: Path) -> list[tuple[int, float]]:
    """(step, loss) of every line of metrics.jsonl."""
    return [(row["step"], row["loss"]) for row in metrics(work_dir)]


def _write_dialogues(path: Path, count: int, dice: random.Random) -> None:
    rows = []
    for _ in range(count):
        said = [" ".join(dice.choices(WORDS.split(), k=dice.randint(2, 12))) for _ in range(2)]
        messages = [
            {"role": "user", "content": said[0]},
            {"role": "assistant", "content": said[1]},
        ]
        rows.append(json.dumps({"messages": messages}))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def _write_pairs(path: Path, count: int, dice: random.Random) -> None:
    rows = []
    for _ in range(count):
        said = [" ".join(dice.choices(WORDS.split(), k=dice.randint(2, 12))) for _ in range(3)]
        rows.append(json.dumps(dict(zip(("prompt", "chosen", "rejected"), said, strict=True))))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
