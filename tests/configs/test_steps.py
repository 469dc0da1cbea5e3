"""Leaves take two optimizer steps, on a tiny model of their family and rows of their own form.

The tiny model is what `xtune tiny-model` writes, the rows are the examples of the leaf's map_fn. Of
leaves that differ in their data alone one trains, as long as each form of data trains somewhere
with each template: the others are made of the same two halves. Where answers that were compared
are learnt from, one trains for each method and one for each form of data: their families train
elsewhere, and templates have golden files.
"""

from __future__ import annotations

import ast
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.once import once
from tests.packed_checkpoint import write_packed
from xtune.config import list_configs, render
from xtune.config.find import config_root
from xtune.data.examples import write_examples
from xtune.engine.runner import Runner
from xtune.export.tiny import layers_named, write_tiny
from xtune.models.loading import published_fields
from xtune.models.packed.packing import published_packing

CONFIGS = list_configs()
LEAVES = sorted(CONFIGS)
# What the steps below set themselves, or never reach
SET_HERE = {
    "accumulative_counts",
    "evaluation_freq",
    "evaluation_inputs",
    "max_epochs",
    "max_length",
    "max_steps",
    "save_steps",
    "save_total_limit",
}
SECTIONS = {  # which follow from the knobs
    "custom_hooks",
    "default_hooks",
    "evaluations",
    "train_cfg",
    "train_dataset",
    "val_dataset",
}
START = f"{Path(__file__).parent / 'start_hook.py'}:StartHook"
DIFFERS = f"{Path(__file__).parents[1] / 'engine' / 'rollout' / 'own_rewards.py'}:differs"
# Methods that learn from answers that were compared: the parts of the settings that name one
COMPARED = {"dpo", "dpo_full", "kto", "orpo", "reward", "reward_full", "simpo"}
FOLLOW_THE_MODEL = {"algorithm", "model", "tokenizer"}
OF_MODEL = {"gradient_checkpointing", "pretrained_model_name_or_path", "prompt_template"}
OF_DATA = {"SYSTEM", "data_path", "map_fn", "prompt_template", "val_data_path"}


def knobs_of(part: str) -> set[str]:
    """What a part of the configs sets, by its module's name in a leaf."""
    path = (config_root() / part.replace(".", "/")).with_suffix(".py")
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.targets[0].id for node in body if isinstance(node, ast.Assign)}


def compares(leaf: str) -> bool:
    """Whether a leaf learns from answers that were compared."""
    named = CONFIGS[leaf].read_text(encoding="utf-8")
    return any(f"settings.{part} import" in named for part in COMPARED)


def halves(leaf: str) -> tuple[str, str]:
    """What a leaf says of its model and training, and what of its data: parts and knobs."""
    of_run: list[str] = []
    of_data: list[str] = []
    elsewhere = OF_MODEL if compares(leaf) else set()
    for node in ast.parse(CONFIGS[leaf].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.With):
            for part in node.body:
                is_data = "datasets" in part.module.split(".")
                (of_data if is_data else of_run).append(ast.unparse(part))
                if is_data and not knobs_of(part.module) <= SET_HERE | OF_DATA:
                    of_run.append(ast.unparse(part))  # moss_sft adds tokens to the model
        elif isinstance(node, ast.Assign) and node.targets[0].id not in SET_HERE | elsewhere:
            is_data = node.targets[0].id in OF_DATA
            (of_data if is_data else of_run).append(ast.unparse(node))
    return "\n".join(sorted(of_run)), "\n".join(sorted(of_data))


def to_train() -> list[str]:
    """The first leaf with each half."""
    seen: set[str] = set()
    chosen: list[str] = []
    for leaf in LEAVES:
        if not seen.issuperset(halves(leaf)):
            chosen.append(leaf)
        seen |= set(halves(leaf))
    return chosen


def test_a_leaf_that_does_not_train_differs_from_one_that_does_in_its_data_alone():
    trained = to_train()
    data = {halves(leaf)[1] for leaf in trained}
    for leaf in sorted(set(LEAVES) - set(trained)):
        of_run, of_data = halves(leaf)
        assert of_data in data, leaf
        like = next(other for other in trained if halves(other)[0] == of_run)
        own, others = render(leaf).values, render(like).values
        knobs = {key for key in own if own[key] != others.get(key)} - SECTIONS
        if compares(leaf):
            knobs -= OF_MODEL | FOLLOW_THE_MODEL
        assert knobs <= SET_HERE | OF_DATA, (leaf, like)


def test_the_family_of_a_leaf_that_compares_answers_trains_in_another():
    families = {family_of(leaf) for leaf in to_train() if not compares(leaf)}
    assert {family_of(leaf) for leaf in filter(compares, LEAVES)} <= families


def family_of(leaf: str) -> str:
    return str(published_fields(render(leaf).values.pretrained_model_name_or_path)["model_type"])


@pytest.fixture(scope="session")
def tiny(shared_folder):
    """Model id, least layers -> a tiny checkpoint in its layout, made once."""

    def of(published: str, layers: int) -> Path:
        name = f"{published.replace('/', '--')}_{layers}"
        plain = once(
            shared_folder / "tiny" / name,
            lambda folder: write_tiny(folder, published, layers=layers),
        )
        packing = published_packing(published_fields(published).get("quantization_config") or {})
        if packing is None:
            return plain
        return once(
            shared_folder / "tiny" / f"{name}_packed",
            lambda folder: write_packed(folder, plain, packing.method, bits=packing.bits),
        )

    return of


@pytest.mark.parametrize("leaf", to_train())
def test_it_takes_two_steps_and_saves(leaf, tiny, tmp_path):
    values = render(leaf).values
    model = tiny(values.pretrained_model_name_or_path, layers_named(values.get("lora")))
    options = [
        f"pretrained_model_name_or_path={model}",
        f"data_path={write_examples(tmp_path, values.data_path, values.map_fn)}",
        "max_length=192",
        "accumulative_counts=1",
        "max_steps=2",
        "save_steps=2",
        "evaluation_inputs=[]",
        "val_data_path=None",
        "strategy.precision=fp32",
        "default_hooks.tensorboard=None",
        f"default_hooks.loss_curve={{'type': '{START}'}}",
    ]
    if values.train_cfg.type == "RolloutLoop":  # a tiny model's answers are never right
        options += [f"rewards=[{{'type': '{DIFFERS}'}}]", "max_new_tokens=4", "prompts=2"]
        options += ["max_steps=3"]  # a critic's head is 0 at first, and passes no gradient on
    run = Runner(render(leaf, options), work_dir=tmp_path / "run").train()
    assert run.step == run.max_steps
    assert math.isfinite(run.metrics["loss"])
    for name, weight in run.model.named_parameters():
        changed = not torch.equal(weight, run.hooks["loss_curve"].weights[name])
        assert changed == weight.requires_grad, name
    weights = saved_weights(tmp_path / "run/checkpoints/latest")
    assert weights
    if values.get("lora"):
        learnt = {name: weight for name, weight in weights.items() if "lora_B" in name}
        assert any(weight.any() for weight in learnt.values())  # zero until the first step


def saved_weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    files = [*checkpoint.glob("adapter/*.safetensors"), *checkpoint.glob("model/*.safetensors")]
    return {name: weight for file in files for name, weight in load_file(file).items()}
