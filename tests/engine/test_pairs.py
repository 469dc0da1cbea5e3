"""Pairs in whole runs: an algorithm that learns from them, which is three methods in a file."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.forked import run_ranks
from tests.runs import losses, metrics, options, sheet_of, train
from xtune.engine.build import build_datasets
from xtune.engine.dry_run import make_plan
from xtune.errors import ConfigError
from xtune.models import SupervisedFinetune

OWN = str(Path(__file__).parent / "pair_loss.py")
PLAIN = ["lora.lora_dropout=0.0", "max_steps=5", "lr=3e-3"]


@pytest.fixture
def own(tmp_path):
    """Options of a run on 13 pairs, each an item: the fourth step of four has one only."""
    path = tmp_path / "pairs.jsonl"
    rows = [
        {"prompt": f"{n} miles?", "chosen": f"{2 * n} kilometres." * (n % 3 + 1), "rejected": "No."}
        for n in range(13)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {
        "type": "PreferenceDataset",
        "data_path": str(path),
        "map_fn": "preference",
        "max_length": 128,
        "pack_to_max_length": False,
    }
    return [*PLAIN, f"model.type={OWN}:PairLoss", f"train_dataset={data}"]


def test_a_step_is_the_mean_over_its_pairs_however_it_is_split(inputs, own, tmp_path):
    """Four pairs in one micro-batch, in four, and in two on each of two processes; a filler too."""
    run = train(inputs, tmp_path / "1x4", *own, "batch_size=4", "accumulative_counts=1")
    train(inputs, tmp_path / "4x1", *own, "batch_size=1", "accumulative_counts=4")
    words = ["train", "custom_sft_lora", "--work-dir", str(tmp_path / "ranks"), "--cfg-options"]
    split = ["batch_size=1", "accumulative_counts=2", "strategy.type=DDPStrategy"]
    run_ranks("xtune.cli.process", [*words, *options(inputs), *own, *split], tmp_path / "said", 2)
    rows = {split: metrics(tmp_path / split) for split in ("1x4", "4x1", "ranks")}
    for one in rows["1x4"]:
        for other in (rows["4x1"][one["step"] - 1], rows["ranks"][one["step"] - 1]):
            assert other["loss"] == pytest.approx(one["loss"], rel=1e-4)
            assert other["accuracy"] == pytest.approx(one["accuracy"])
    (batch,) = run.loader.step(0)
    assert batch.per_document["side"].tolist() == [0, 1] * 4
    assert rows["1x4"][0]["loss"] == pytest.approx(by_hand(inputs.model, batch), rel=1e-4)


def by_hand(folder, batch):
    """The mean over the pairs, each answer alone in transformers' own model, by all its logits."""
    llm = AutoModelForCausalLM.from_pretrained(folder)  # what a new adapter leaves as it is
    answers = []
    for begin, end in pairwise(batch.cu_seqlens.tolist()):
        with torch.no_grad():
            log_probs = llm(batch.input_ids[:, begin:end]).logits[0].float().log_softmax(-1)
        labels = batch.labels[0, begin:end]
        trained = labels != -100
        answers.append(log_probs[trained, labels[trained]].sum())
    margins = torch.stack(answers[::2]) - torch.stack(answers[1::2])
    return (1 + (-margins).exp()).log().mean().item()


def test_it_goes_on_from_a_checkpoint_with_the_same_pairs(inputs, own, tmp_path):
    more = [*own, "max_steps=8", "batch_size=1", "accumulative_counts=2", "lora.lora_dropout=0.1"]
    train(inputs, tmp_path / "whole", *more)
    checkpoint = tmp_path / "whole" / "checkpoints" / "step_000005"
    train(inputs, tmp_path / "rest", *more, resume=str(checkpoint))
    assert losses(tmp_path / "rest")[-3:] == losses(tmp_path / "whole")[-3:]


def test_a_dry_run_counts_pairs(inputs, own, tmp_path):
    lines = make_plan(sheet_of(inputs, *own), tmp_path / "run")
    assert any("samples   26 in 13 groups" in line for line in lines)
    assert any(line.startswith("memory") for line in lines)
    assert not any("not counted" in line for line in lines)  # a pass over pairs was traced


class TakesNoTokenizer:
    """A data set of one's own that forgets what the run gives it."""

    def __init__(self, *, data_path):
        pass


def test_a_data_set_that_takes_no_tokenizer_is_refused_with_that():
    cfg = {"model": {"type": SupervisedFinetune}, "train_dataset": {"type": TakesNoTokenizer}}
    with pytest.raises(ConfigError, match="'TakesNoTokenizer' takes no 'tokenizer', which the run"):
        build_datasets(cfg, tokenizer=None)
