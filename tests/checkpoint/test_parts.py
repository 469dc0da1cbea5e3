"""What processes write in parts is put together again, and a part that is missing is not missed."""

import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xtune.checkpoint.parts import (
    OptimizerParts,
    Part,
    keep_state,
    parts_bytes,
    wait_for_parts,
    whole_weights,
    write_parts,
)
from xtune.errors import CheckpointError

WHOLE = {"head": torch.arange(12.0).reshape(4, 3), "norm": torch.tensor([7.0])}


def divide(weights, cuts):
    """Give each process the numbers between two of `cuts` of every weight, if there are any."""
    for low, high in zip(cuts, cuts[1:], strict=False):
        yield {
            name: Part(
                low,
                tuple(weight.shape),
                part,
                {"exp_avg": -part, "step": torch.tensor(3.0)},
            )
            for name, weight in weights.items()
            if len(part := weight.flatten()[low:high])
        }


@given(st.lists(st.integers(0, 12), max_size=4))
def test_any_division_is_put_together(tmp_path_factory, cuts):
    folder = tmp_path_factory.mktemp("parts")
    processes = list(divide(WHOLE, [0, *sorted(cuts), 12]))
    for rank, parts in enumerate(processes):
        write_parts(folder, rank, parts)
    wait_for_parts(folder, len(processes), threading.Event())
    found = whole_weights(folder, folder / "whole")
    assert found.keys() == WHOLE.keys()
    assert all(torch.equal(found[name], weight) for name, weight in WHOLE.items())
    del found
    keep_state(folder, kept := folder.with_name(f"{folder.name}-kept"))
    state = OptimizerParts(kept)
    assert set(state) == set(WHOLE)
    for name, weight in WHOLE.items():
        assert torch.equal(state[name]["exp_avg"], -weight)
        assert state[name]["step"] == 3


def test_the_bytes_of_weights_and_state():
    parts = next(divide(WHOLE, [0, 6]))
    assert parts_bytes(parts) == (7 * 4, 7 * 4 + 2 * 4)


def test_a_copy_does_not_change_with_the_weights():
    weight = torch.ones(2)
    copy = Part(0, (2,), weight, {"exp_avg": weight}).copied()
    weight.zero_()
    assert copy.weight.tolist() == copy.state["exp_avg"].tolist() == [1, 1]


def test_a_lost_file_is_no_shorter_weight(tmp_path):
    for rank, parts in enumerate(divide(WHOLE, [0, 6, 12])):
        write_parts(tmp_path, rank, parts)
    (tmp_path / "state_00001.safetensors").unlink()
    with pytest.raises(CheckpointError, match="does not hold all of head"):
        OptimizerParts(tmp_path)["head"]


def test_a_process_that_cannot_write_ends_the_wait_of_the_main_one(tmp_path):
    (tmp_path / "state_00001.safetensors").mkdir()  # so that it cannot be written
    with pytest.raises(Exception, match="directory"):
        write_parts(tmp_path, 1, next(divide(WHOLE, [0, 6])))
    with pytest.raises(CheckpointError, match="process 1 could not write its part"):
        wait_for_parts(tmp_path, 2, threading.Event())


def test_a_run_that_ends_does_not_wait_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr("xtune.checkpoint.parts._LAST_WAIT", 0.2)
    ending = threading.Event()
    ending.set()
    with pytest.raises(CheckpointError, match="not every process"):
        wait_for_parts(tmp_path, 2, ending)
