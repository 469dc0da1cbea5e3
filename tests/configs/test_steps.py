"""Every leaf takes two optimizer steps, on a tiny model of its own family and rows of its own form.

The tiny model is what `xtune tiny-model` writes, the rows are the examples of the leaf's map_fn.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from xtune.checkpoint.tiny import write_tiny
from xtune.config import list_configs, render
from xtune.data.examples import write_examples
from xtune.engine.runner import Runner
from xtune.models.loading import load_model

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
    runner = Runner(render(leaf, options), work_dir=tmp_path / "run")
    runner.train()
    assert runner.step == 2
    weights = saved_weights(tmp_path / "run/checkpoints/latest")
    if values.get("lora"):
        learnt = {name: weight for name, weight in weights.items() if "lora_B" in name}
        assert learnt  # zero until the first step
        assert any(weight.any() for weight in learnt.values())
    else:
        start = load_model(
            str(tiny(values.pretrained_model_name_or_path)), dtype="fp32"
        ).state_dict()
        assert weights.keys() <= start.keys()
        assert any(not torch.equal(weight, start[name]) for name, weight in weights.items())


def saved_weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    files = [*checkpoint.glob("adapter/*.safetensors"), *checkpoint.glob("model/*.safetensors")]
    return {name: weight for file in files for name, weight in load_file(file).items()}
