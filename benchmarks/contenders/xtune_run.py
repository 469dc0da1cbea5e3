"""xtune on a task, through its own config, data path and runner."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from common import LINEARS, Run, Task, digest, read_task, start_lora, write_result

from xtune.config import render
from xtune.engine.hooks.base import Hook
from xtune.engine.run import Run as XtuneRun
from xtune.engine.runner import Runner


class ContenderHook(Hook):
    """Gives the adapter the start that all contenders share, and notes what is trained on."""

    essential = True

    def __init__(self) -> None:
        self.documents: list[str] = []

    def before_train(self, run: XtuneRun) -> None:
        start_lora(run.model)

    def before_train_iter(self, run: XtuneRun, batches) -> None:
        for batch in batches:
            ids, labels = batch.input_ids[0].tolist(), batch.labels[0].tolist()
            ends = batch.cu_seqlens.tolist()
            for a, b in zip(ends[:-1], ends[1:], strict=True):
                # a batch's labels stand one place earlier, under the token that predicts them
                self.documents.append(digest(ids[a:b], [-100, *labels[a : b - 1]]))


def train(task: Task) -> tuple[Run, int]:
    settings = task.settings
    epochs = task.steps or 1
    options = {
        "pretrained_model_name_or_path": settings["model"],
        "data_path": str(task.folder / ("gate.jsonl" if task.steps else "docs.jsonl")),
        "map_fn": settings["map_fn"],
        "max_length": settings["pack_length"],
        "accumulative_counts": 1,
        "max_epochs": epochs,
        "lr": settings["lr"],
        "strategy.precision": "bf16" if task.autocast else "fp32",
        "gradient_checkpointing": False,  # as the others
        "param_scheduler": {"type": "ConstantSchedule"},
        "default_hooks": {"metrics": {"type": "MetricsHook"}},
        "custom_hooks": [{"type": f"{__file__}:ContenderHook"}],
    }
    if task.method != "full":
        options |= {"lora.r": 16, "lora.lora_alpha": 32, "lora.lora_dropout": 0.0}
        options["lora.target_modules"] = repr(LINEARS)
    sheet = render(
        f"custom_sft_{task.method}", [f"{key}={value}" for key, value in options.items()]
    )
    work_dir = Path(tempfile.mkdtemp())
    trained = Runner(sheet, work_dir=work_dir).train()
    trainable = sum(p.numel() for p in trained.model.parameters() if p.requires_grad)
    run = Run()
    lines = map(json.loads, (work_dir / "metrics.jsonl").read_text().splitlines())
    steps = [line for line in lines if "loss" in line]
    run.losses = [line["loss"] for line in steps]
    run.tokens = _differences(line["tokens"] for line in steps)
    run.trained = _differences(line["trained_tokens"] for line in steps)
    run.seconds = [
        tokens / line["tokens_per_s"] for tokens, line in zip(run.tokens, steps, strict=True)
    ]
    (hook,) = (hook for hook in trained.hooks.values() if hasattr(hook, "documents"))
    run.documents = hook.documents
    return run, trainable


def _differences(totals) -> list[int]:
    values = [0, *totals]
    return [b - a for a, b in zip(values[:-1], values[1:], strict=True)]


if __name__ == "__main__":
    write_result(*train(read_task()))
