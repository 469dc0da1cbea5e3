"""A checkpoint is written next to the training; its errors come back, and nothing is half there."""

import threading
from pathlib import Path

import pytest
import torch

from xtune.checkpoint.background import BackgroundWriter
from xtune.checkpoint.state import snapshot
from xtune.errors import CheckpointError


def test_it_is_taken_once_when_it_is_written():
    writer, gate = BackgroundWriter(), threading.Event()

    def write(ending):
        gate.wait()
        return Path("step_000001")

    assert writer.finished(wait=True) is None
    writer.submit(write)
    assert writer.finished(wait=False) is None
    gate.set()
    assert writer.finished(wait=True) == Path("step_000001")
    assert writer.finished(wait=True) is None
    writer.close()


def test_an_error_is_raised_where_the_result_is_taken():
    def write(ending):
        raise CheckpointError("the disk is full")

    writer = BackgroundWriter()
    writer.submit(write)
    with pytest.raises(CheckpointError, match="the disk is full"):
        writer.finished(wait=True)
    assert writer.close() is None


def test_an_error_that_nobody_has_taken_is_given_at_the_end():
    def write(ending):
        raise CheckpointError("the disk is full")

    writer = BackgroundWriter()
    writer.submit(write)
    assert "the disk is full" in str(writer.close())


def test_a_snapshot_does_not_change_and_holds_a_shared_tensor_once():
    table = torch.zeros(3)
    state = {"a": {"table": table, "step": torch.tensor(1.0)}, "b": [table, 2]}
    taken = snapshot(state)
    table += 1
    state["a"]["step"] += 1
    assert taken["a"]["table"].tolist() == [0, 0, 0]
    assert taken["a"]["step"].item() == 1
    assert taken["a"]["table"] is taken["b"][0]
    assert taken["b"][1] == 2


def test_what_waits_for_others_is_told_that_the_run_ends():
    writer = BackgroundWriter()
    writer.submit(lambda ending: Path("told") if ending.wait(timeout=60) else None)
    assert writer.close() is None
    assert writer.finished(wait=True) == Path("told")
