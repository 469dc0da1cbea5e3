"""xtune on the pairs of `preference_cpu.py`, through its own config, data path and runner."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from common import LINEARS, start_lora
from preference_common import Result, digest, run_tasks

from xtune.config import render
from xtune.engine.hooks.base import Hook
from xtune.engine.run import Run
from xtune.engine.runner import Runner


class PreferenceContenderHook(Hook):
    """Gives the adapter the start that all contenders share; times steps and notes their pairs."""

    def __init__(self) -> None:
        self.result = Result()

    def before_train(self, run: Run) -> None:
        start_lora(run.model)
        self.result.begin_training(run.model)
        embedding = run.model.language_model.get_input_embeddings()
        embedding.register_forward_hook(self._count)

    def _count(self, module, given, out) -> None:
        self.result.seen += given[0].numel()

    def before_train_iter(self, run: Run, batches) -> None:
        noted = []
        for batch in batches:
            ids, ends = batch.input_ids[0].tolist(), batch.cu_seqlens.tolist()
            documents = [ids[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)]
            noted += map(digest, documents[::2], documents[1::2])
        self.result.pairs.append(sorted(noted))
        self.result.begin_step()

    def after_train_iter(self, run: Run, metrics) -> None:
        self.result.end_step()


def train(task: dict) -> Result:
    """One run over the pairs."""
    loss = {"type": "sigmoid", "beta": 0.1, "label_smoothing": task["label_smoothing"]}
    options = {
        "pretrained_model_name_or_path": task["model"],
        "data_path": task["rows"],
        "map_fn": "preference",
        "algorithm.loss": loss,
        "pack_to_max_length": False,
        "batch_size": task["batch"],
        "accumulative_counts": task["accumulation"],
        "train_dataloader.shuffle": False,
        "max_epochs": 1,
        "lr": task["lr"],
        "strategy.precision": task["dtype"],
        "gradient_checkpointing": task["checkpointing"],
        "param_scheduler": {"type": "ConstantSchedule"},
        "lora.r": 16,
        "lora.lora_alpha": 32,
        "lora.lora_dropout": 0.0,
        "lora.target_modules": repr(LINEARS),
        "default_hooks": {"metrics": {"type": "MetricsHook"}},
        "custom_hooks": [{"type": f"{__file__}:PreferenceContenderHook"}],
    }
    sheet = render("custom_dpo_lora", [f"{key}={value}" for key, value in options.items()])
    folder = Path(tempfile.mkdtemp())
    run = Runner(sheet, work_dir=folder).train()
    (result,) = (hook.result for hook in run.hooks.values() if hasattr(hook, "result"))
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    steps = [line for line in lines if "loss" in line]
    result.loss = [line["loss"] for line in steps]
    result.grad_norm = [line["grad_norm"] for line in steps]
    result.accuracy = [line["reward_accuracy"] for line in steps]
    result.margin = [line["reward_margin"] for line in steps]
    result.end_training()
    return result


if __name__ == "__main__":
    run_tasks(train)
