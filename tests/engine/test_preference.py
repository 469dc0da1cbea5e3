"""Preference optimisation in whole runs, through the shipped config `custom_dpo_lora`."""

from __future__ import annotations

import math

import pytest

from tests.models.judged import judged_options
from tests.runs import losses, metrics, sheet_of
from tests.tiny import write_tiny_llama
from xtune.config import check
from xtune.engine.dry_run import make_plan
from xtune.engine.runner import Runner

KTO = "{'type': 'UnpairedPreferenceOptimization', 'loss': {'type': '%s'}}"
SMALL = ["lora.lora_dropout=0.0", "map_fn=preference", "pack_to_max_length=False"]


def train(inputs, folder, *further, resume=None):
    pairs = f"data_path={inputs.data.with_name('pairs.jsonl')}"
    sheet = sheet_of(inputs, pairs, *SMALL, *further, config="custom_dpo_lora")
    return Runner(sheet, work_dir=folder, resume=resume).train()


def test_a_run_begins_at_its_known_loss_and_learns_the_pairs(inputs, tmp_path):
    train(inputs, tmp_path / "run", "max_steps=30", "batch_size=8", "lr=2e-2")
    rows = metrics(tmp_path / "run")
    assert rows[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert rows[0]["reward_margin"] == pytest.approx(0, abs=1e-5)
    assert rows[-1]["reward_accuracy"] == 1.0
    assert rows[-1]["reward_margin"] > 0.5
    assert rows[-1]["loss"] < 0.5


METHODS = {"orpo": ["algorithm.loss={'type': 'orpo'}"], "kto": judged_options()}


@pytest.mark.parametrize("method", METHODS)
def test_a_step_is_the_mean_over_its_answers_however_it_is_split(inputs, tmp_path, method):
    """Validation data are seen in one way: z of KTO is that of as many answers."""
    steps = ["max_steps=4", *METHODS[method]]
    train(inputs, tmp_path / "1x8", *steps, "batch_size=8", "accumulative_counts=1")
    train(inputs, tmp_path / "4x2", *steps, "batch_size=2", "accumulative_counts=4")
    whole, split = metrics(tmp_path / "1x8"), metrics(tmp_path / "4x2")
    own = {"orpo": "nll", "kto": "z"}[method]
    assert own in whole[0]
    for one, other in zip(whole, split, strict=True):
        for name in ("loss", "grad_norm", own):
            assert other[name] == pytest.approx(one[name], rel=1e-4, abs=1e-6), name


@pytest.mark.parametrize("method", ["", "kto"])
def test_it_goes_on_from_a_checkpoint_bit_for_bit(inputs, tmp_path, method):
    own = METHODS.get(method, [])
    train(inputs, tmp_path / "whole", "max_steps=8", "batch_size=2", *own)
    checkpoint = tmp_path / "whole" / "checkpoints" / "step_000005"
    train(inputs, tmp_path / "rest", "max_steps=8", "batch_size=2", *own, resume=str(checkpoint))
    assert losses(tmp_path / "rest")[-3:] == losses(tmp_path / "whole")[-3:]


@pytest.mark.parametrize(
    "options",
    [
        METHODS["kto"],
        judged_options("apo_zero_unpaired"),
        METHODS["orpo"],
        ["algorithm.ld_alpha=0.5", "algorithm.wpo=True", "algorithm.sft_weight=0.1"],
        ["algorithm.precompute_reference=True"],
    ],
    ids=["kto", "apo", "orpo", "ld and wpo", "precomputed"],
)
def test_a_dry_run_knows_what_each_needs(inputs, tmp_path, options):
    pairs = f"data_path={inputs.data.with_name('pairs.jsonl')}"
    lines = make_plan(sheet_of(inputs, pairs, *SMALL, *options, config="custom_dpo_lora"), tmp_path)
    assert any(line.startswith("memory") for line in lines)
    assert not [line for line in lines if "not counted" in line]


def test_a_first_loss_that_is_not_the_known_one_is_reported(inputs, tmp_path, caplog):
    """Two models: the reference is the policy's own start, and then another."""
    other = write_tiny_llama(tmp_path / "other", seed=5)
    for name, ref in (("same", inputs.model), ("other", other)):
        loss = {"type": "ipo"}
        named = {"type": "CausalLM", "pretrained_model_name_or_path": str(ref)}
        chosen = {"type": "PreferenceOptimization", "loss": loss, "ref": named}
        caplog.clear()
        train(inputs, tmp_path / name, "max_steps=1", f"algorithm={chosen!r}")
        said = [record.getMessage() for record in caplog.records]
        warned = [line for line in said if "25.0000 is right while the model" in line]
        assert len(warned) == (name == "other")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("algorithm.loss.type=sigmod", "unknown pair loss 'sigmod'; did you mean 'sigmoid'?"),
        ("algorithm.loss={'type': 'simpo', 'label_smoothing': 0.1}", "takes no 'label_smoothing'"),
        ("algorithm.loss={'type': 'ipo', 'beta': 'much'}", "must be a number"),
        (
            "algorithm.loss={'type': 'weighted', 'losses': [{'type': 'ipq'}], 'weights': [1]}",
            "unknown pair loss 'ipq'; did you mean 'ipo'?",
        ),
        ("algorithm.nll_on=prompt", "nll_on"),
        (f"algorithm={KTO % 'kta'}", "unknown loss of unpaired answers 'kta'; did you mean 'kto'?"),
        (f"algorithm={KTO % 'sigmoid'}", "unknown loss of unpaired answers 'sigmoid'"),
    ],
)
def test_check_reads_the_loss_and_its_options(inputs, option, said):
    sheet = sheet_of(inputs, option, config="custom_dpo_lora")
    assert said in " ".join(str(problem) for problem in check(sheet, data=False))
