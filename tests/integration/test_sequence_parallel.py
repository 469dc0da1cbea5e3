"""Processes that share each row: the steps of one process, for any number of groups."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.integration.test_ddp import (
    assert_same_weights,
    chosen,
    column,
    run,
)
from tests.runs import Inputs, losses, write_inputs
from tests.tiny import write_tiny_llama
from xtune.config import render
from xtune.engine.runner import Runner

SHARED = "sequence_parallel_size=2"
CONFIG = "custom_sft_lora"
STEPS = ["max_steps=10", "evaluation_freq=5", "max_length=127"]  # longer rows than most are odd


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Inputs:
    """As all runs have them, but for the model's one key head for both processes."""
    inputs = write_inputs(tmp_path_factory.mktemp("inputs"))
    shutil.rmtree(inputs.model)
    write_tiny_llama(inputs.model, kv_heads=1)
    return inputs


@pytest.fixture(scope="module")
def options(inputs) -> list[str]:
    return [*STEPS, "gradient_checkpointing=True", f"val_data_path={inputs.val}"]


@pytest.fixture(scope="module")
def one(options, inputs, tmp_path_factory) -> Path:
    """A run of one process."""
    work_dir = tmp_path_factory.mktemp("one")
    sheet = render(CONFIG, chosen(inputs, *options, config=CONFIG))
    trained = Runner(sheet, work_dir=work_dir).train()
    rows = [batch.tokens for step in range(10) for batch in trained.loader.step(step)]
    assert any(length % 2 for length in rows)
    return work_dir


@pytest.fixture(scope="module")
def two(options, inputs, tmp_path_factory) -> Path:
    """A run of two that share each row, with as many micro-batches."""
    work_dir = tmp_path_factory.mktemp("two")
    run(inputs, work_dir, *options, SHARED, config=CONFIG)
    return work_dir


def assert_same_steps(one: Path, other: Path) -> None:
    for name in ("loss", "grad_norm", "val_loss", "tokens", "trained_tokens", "lr"):
        assert column(other, name) == pytest.approx(column(one, name), rel=1e-4), name
    assert len(column(other, "loss")) == 10
    assert len(column(other, "val_loss")) == 2


def test_its_steps_are_those_of_one_process(one, two):
    assert_same_steps(one, two)


def test_its_weights_are_those_of_one_process(one, two):
    assert_same_weights(one, two)


@pytest.mark.slow
def test_two_groups_of_two_make_the_steps_of_one_process(one, options, inputs, tmp_path):
    further = [*options, SHARED, "accumulative_counts=1"]
    run(inputs, tmp_path, *further, config=CONFIG, processes=4)
    assert_same_steps(one, tmp_path)
    assert_same_weights(one, tmp_path)


def test_resumed_it_is_the_run_never_stopped(two, options, inputs, tmp_path):
    cut = tmp_path / "cut"
    shutil.copytree(two, cut, symlinks=True)
    shutil.rmtree(cut / "checkpoints/step_000010")
    run(inputs, cut, *options, SHARED, config=CONFIG, resume=True)
    assert "resumed from" in (cut / "train.log").read_text()
    assert losses(cut) == losses(two)
