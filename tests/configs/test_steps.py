"""Every leaf takes two optimizer steps, on a tiny model of its own family and rows of its own form.

The tiny model is what `xtune tiny-model` writes, the rows are the examples of the leaf's map_fn.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from xtune.checkpoint.tiny import write_tiny
from xtune.config import list_configs, render
from xtune.data.examples import write_examples
from xtune.engine.runner import Runner

LEAVES = sorted(list_configs())


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Model id -> a tiny checkpoint in its layout, made once."""
    made: dict[str, Path] = {}

    def of(published: str) -> Path:
        if published not in made:
            made[published] = tmp_path_factory.mktemp("tiny") / "model"
            write_tiny(made[published], published)
        return made[published]

    return of


@pytest.mark.parametrize("leaf", LEAVES)
def test_it_takes_two_steps_and_saves(leaf, tiny, tmp_path):
    values = render(leaf).values
    options = [
        f"pretrained_model_name_or_path={tiny(values.pretrained_model_name_or_path)}",
        f"data_path={write_examples(tmp_path, values.data_path, values.map_fn)}",
        "max_length=192",
        "accumulative_counts=1",
        "max_steps=2",
        "save_steps=2",
        "evaluation_inputs=[]",
        "val_data_path=None",
        "strategy.precision=fp32",
        "default_hooks.tensorboard=None",
        "default_hooks.loss_curve=None",
    ]
    runner = WatchedRunner(render(leaf, options), work_dir=tmp_path / "run")
    runner.train()
    assert runner.step == 2
    assert math.isfinite(runner.metrics["loss"])
    for name, weight in runner.model.named_parameters():
        changed = not torch.equal(weight, runner.start[name])
        assert changed == weight.requires_grad, name
    weights = saved_weights(tmp_path / "run/checkpoints/latest")
    assert weights
    if values.get("lora"):
        learnt = {name: weight for name, weight in weights.items() if "lora_B" in name}
        assert any(weight.any() for weight in learnt.values())  # zero until the first step


class WatchedRunner(Runner):
    """Keeps the weights as they are before the first step."""

    start: dict[str, torch.Tensor]

    def call_hooks(self, point: str, *arguments: Any) -> None:
        if point == "before_train":
            self.start = {
                name: weight.detach().clone() for name, weight in self.model.named_parameters()
            }
        super().call_hooks(point, *arguments)


def saved_weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    files = [*checkpoint.glob("adapter/*.safetensors"), *checkpoint.glob("model/*.safetensors")]
    return {name: weight for file in files for name, weight in load_file(file).items()}
