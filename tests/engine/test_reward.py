"""Reward models in whole runs, through the shipped config `custom_reward_lora`."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from tests.once import once
from tests.runs import losses, metrics, options, sheet_of
from xtune.checkpoint.folder import list_checkpoints
from xtune.config import check, render
from xtune.engine.runner import Runner
from xtune.models import load_adapter
from xtune.models.sequence_classifier import load_classifier

SMALL = ["lora.lora_dropout=0.0", "map_fn=preference", "max_steps=8", "batch_size=4"]


def sheet(inputs, *further, full=False):
    pairs = inputs.data.with_name("pairs.jsonl")
    data = [f"data_path={pairs}", f"val_data_path={pairs}", "evaluation_freq=4"]
    chosen = [*options(inputs), *data, *SMALL, *further]
    if full:
        chosen = [*(one for one in chosen if not one.startswith("lora.")), "lora=None"]
    return render("custom_reward_lora", chosen)


def train(inputs, folder, *further, resume=None, full=False):
    made = sheet(inputs, *further, full=full)
    return Runner(made, work_dir=folder, resume=resume).train()


@pytest.fixture(scope="module")
def trained(inputs, tmp_path_factory):
    """The folder of a run of 8 steps."""
    return once(tmp_path_factory.mktemp("reward") / "run", lambda folder: train(inputs, folder))


def test_it_learns_its_pairs_and_measures_them(trained):
    rows = metrics(trained)
    named = {"reward_accuracy", "reward_margin", "score_mean", "score_std", "length_correlation"}
    assert named <= rows[0].keys()
    assert "score_square" not in rows[0]
    assert [row["step"] for row in rows if "val_reward_accuracy" in row] == [4, 8]
    assert rows[-1]["val_reward_accuracy"] > rows[0]["reward_accuracy"] + 0.2
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_an_adapter_goes_on_from_a_checkpoint_bit_for_bit(inputs, trained, tmp_path):
    train(inputs, tmp_path, resume=str(trained / "checkpoints" / "step_000005"))
    assert losses(tmp_path)[-3:] == losses(trained)[-3:]


def test_a_whole_model_goes_on_from_a_checkpoint_bit_for_bit(inputs, tmp_path):
    """Its checkpoint is a reward model, and is no language model any more."""
    train(inputs, tmp_path / "whole", "max_steps=4", "save_steps=2", full=True)
    checkpoint = tmp_path / "whole" / "checkpoints" / "step_000002"
    train(inputs, tmp_path / "rest", "max_steps=4", resume=str(checkpoint), full=True)
    assert losses(tmp_path / "rest")[-2:] == losses(tmp_path / "whole")[-2:]
    plain = AutoModelForSequenceClassification.from_pretrained(checkpoint / "model")
    assert plain.config.num_labels == 1
    assert plain.config.pad_token_id != plain.config.eos_token_id
    began, ended = (
        load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
        for folder in (inputs.model, checkpoint / "model")
    )
    assert not torch.equal(began[2], ended[2])  # the end token's, which the base pads with


def test_a_checkpoint_has_the_head_and_says_how_it_is_read(inputs, trained):
    folder = list_checkpoints(trained / "checkpoints")[-1][1] / "adapter"
    notes = json.loads((folder / "xtune.json").read_text())
    assert notes["reward"] == {"kind": "reward", "reading": "end", "shift": 0.0}
    llm = load_adapter(load_classifier(str(inputs.model), dtype="fp32"), folder)
    assert llm.base_model.model.score.modules_to_save["default"].weight.abs().sum() > 0


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("algorithm.loss.type=bradley_tery", "unknown reward loss 'bradley_tery'; did you mean"),
        ("algorithm.loss={'type': 'focal', 'margin_weight': 1}", "takes no 'margin_weight'"),
        ("model.llm.type=CausalLM", "set it to 'SequenceClassifier'"),
        ("evaluation_inputs=['Hello']", "asks a reward model for answers"),
        ("evaluations=[{'type': 'mmlu'}]", "ask a reward model for words"),
        ("algorithm.reading=last", "must be"),
    ],
)
def test_check_reads_the_loss_and_its_options(inputs, option, said):
    found = check(sheet(inputs, option), data=False)
    assert said in " ".join(str(problem) for problem in found)


def test_a_reward_model_is_not_trained_on_words(inputs):
    words = sheet_of(inputs, "model.llm.type=SequenceClassifier")
    assert "set it to 'CausalLM'" in " ".join(str(p) for p in check(words, data=False))
