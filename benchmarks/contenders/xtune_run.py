"""xtune on a task, through its own config, data path and runner: `xtune_run.py FOLDER RESULT`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from common import LINEARS, Run, digest, read_task, start_lora, write_result

from xtune.config import render
from xtune.engine.hooks.base import Hook
from xtune.engine.runner import Runner


class StartLoraHook(Hook):
    """Gives the adapter the start that all contenders share."""

    essential = True

    def before_train(self, runner: Runner) -> None:
        start_lora(runner.model)


def train(rows: Path, task: dict, *, epochs: int) -> tuple[Run, int]:
    options = {
        "pretrained_model_name_or_path": task["model"],
        "data_path": str(rows),
        "map_fn": task["map_fn"],
        "max_length": task["pack_length"],
        "accumulative_counts": 1,
        "max_epochs": epochs,
        "lr": task["lr"],
        "lora.target_modules": repr(LINEARS),
        "strategy.precision": task["precision"],
        "param_scheduler": {"type": "ConstantSchedule"},
        "default_hooks": {"metrics": {"type": "MetricsHook"}},
        "custom_hooks": [{"type": f"{__file__}:StartLoraHook"}],
    }
    sheet = render("custom_sft_lora", [f"{key}={value}" for key, value in options.items()])
    work_dir = Path(tempfile.mkdtemp())
    runner = Runner(sheet, work_dir=work_dir)
    runner.train()
    trainable = sum(p.numel() for p in runner.model.parameters() if p.requires_grad)
    run = Run()
    lines = map(json.loads, (work_dir / "metrics.jsonl").read_text().splitlines())
    steps = [line for line in lines if "loss" in line]
    run.losses = [line["loss"] for line in steps]
    run.tokens = _differences(line["tokens"] for line in steps)
    run.trained = _differences(line["trained_tokens"] for line in steps)
    run.seconds = [
        tokens / line["tokens_per_s"] for tokens, line in zip(run.tokens, steps, strict=True)
    ]
    dataset = runner.train_dataset
    for pack in range(len(dataset)):
        for index in dataset.pack(pack):
            sample = dataset.sample(index)
            run.documents.append(digest(sample.input_ids.tolist(), sample.labels.tolist()))
    run.documents *= epochs
    return run, trainable


def _differences(totals) -> list[int]:
    values = [0, *totals]
    return [b - a for a, b in zip(values[:-1], values[1:], strict=True)]


if __name__ == "__main__":
    folder, task = read_task()
    gate, trainable = train(folder / "gate.jsonl", task, epochs=task["gate_steps"])
    speed, _ = train(folder / "docs.jsonl", task, epochs=1)
    write_result(gate, speed, trainable)
