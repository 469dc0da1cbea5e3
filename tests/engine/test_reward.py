"""Reward models in whole runs, through the shipped config `custom_reward_lora`."""

from __future__ import annotations

import json

import pytest

from tests.once import once
from tests.runs import losses, metrics, sheet_of
from xtune.checkpoint.folder import list_checkpoints
from xtune.config import check
from xtune.engine.runner import Runner
from xtune.models import load_adapter
from xtune.models.sequence_classifier import load_classifier

SMALL = ["lora.lora_dropout=0.0", "map_fn=preference", "max_steps=8", "batch_size=4"]


def sheet(inputs, *further):
    pairs = inputs.data.with_name("pairs.jsonl")
    data = [f"data_path={pairs}", f"val_data_path={pairs}", "evaluation_freq=4"]
    return sheet_of(inputs, *data, *SMALL, *further, config="custom_reward_lora")


def train(inputs, folder, *further, resume=None):
    return Runner(sheet(inputs, *further), work_dir=folder, resume=resume).train()


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


def test_it_goes_on_from_a_checkpoint_bit_for_bit(inputs, trained, tmp_path):
    train(inputs, tmp_path, resume=str(trained / "checkpoints" / "step_000005"))
    assert losses(tmp_path)[-3:] == losses(trained)[-3:]


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
        ("algorithm.reading=last", "must be"),
    ],
)
def test_check_reads_the_loss_and_its_options(inputs, option, said):
    found = check(sheet(inputs, option), data=False)
    assert said in " ".join(str(problem) for problem in found)


def test_a_reward_model_is_not_trained_on_words(inputs):
    words = sheet_of(inputs, "model.llm.type=SequenceClassifier")
    assert "set it to 'CausalLM'" in " ".join(str(p) for p in check(words, data=False))
