"""Strategies of one process: each with a model of its own, trained or only placed."""

from __future__ import annotations

import json

import pytest
import torch
from torch import distributed

from tests.engine.two_models import LORA, STRATEGIES_OF_TWO, measure, stepper
from tests.forked import run_ranks
from xtune.engine.strategies.machine import Machine
from xtune.engine.strategies.single import SingleStrategy
from xtune.parallel.world import ALONE

METHODS = {"lora": LORA, "full": None}
SHARDED = ("zero3", "fsdp")


@pytest.fixture(scope="module")
def alone(inputs):
    """What one process finds, by method."""
    single = {"type": "SingleStrategy"}
    return {name: measure(str(inputs.model), single, adapter) for name, adapter in METHODS.items()}


@pytest.fixture(scope="module")
def ranks(inputs, tmp_path_factory):
    """What each of two processes finds: (strategy, method) -> by rank."""
    folder = tmp_path_factory.mktemp("ranks")
    run_ranks("tests.engine.two_models", [str(inputs.model), str(folder)], folder, 2)
    return {
        (name, method): [
            json.loads((folder / f"{name}.{method}.rank{rank}.json").read_text())
            for rank in range(2)
        ]
        for name in STRATEGIES_OF_TWO
        for method in METHODS
    }


@pytest.fixture(params=["single", *STRATEGIES_OF_TWO])
def strategy(request):
    return request.param


@pytest.fixture(params=list(METHODS))
def method(request):
    return request.param


@pytest.fixture
def found(strategy, method, alone, ranks):
    """By rank."""
    return [alone[method]] if strategy == "single" else ranks[strategy, method]


def test_what_runs_apart_has_the_logits_of_trainings_forward_bit_for_bit(found):
    for own in found:
        assert own["same"] == [True, True]
        assert own["formats"] == ["torch.bfloat16"]


def test_a_placed_model_computes_what_it_does_alone_and_never_changes(found, alone, method):
    (_, once), (_, again) = alone[method]["placed"]
    assert once == again
    for own in found:
        assert own["placed"] == [[True, once], [True, once]]
        assert own["trained parameters of the placed"] == 0


def test_a_placed_model_is_sharded_where_a_trained_one_is(found, strategy):
    for own in found:
        assert own["held"] == pytest.approx(0.5 if strategy in SHARDED else 1.0, abs=0.02)


def test_a_model_is_trained_next_to_it_as_on_one_process(found, alone, method):
    for own in found:
        shares = [sum(losses) for losses in zip(*(one["losses"] for one in found), strict=True)]
        assert shares == pytest.approx(alone[method]["losses"], rel=2e-3)
        assert own["loss after it"] < own["losses"][1] < own["losses"][0]


def test_the_processors_mode_lasts_until_the_last_of_them_is_closed(found):
    for own in found:
        assert own["flushed after the first close"]
        assert not own["flushed after both"]


def test_two_on_one_process_train_as_each_does_without_the_other(inputs):
    """Steps by turns give the losses of runs that have the process to themselves."""
    model = str(inputs.model)
    expected = []
    for adapter in METHODS.values():
        step, close = stepper(model, adapter)
        expected.append([step() for _ in range(3)])
        close()
    steppers = [stepper(model, adapter) for adapter in METHODS.values()]
    together = [[step() for step, _ in steppers] for _ in range(3)]
    for _, close in steppers:
        close()
    assert [list(losses) for losses in zip(*together, strict=True)] == expected


def test_a_process_group_that_was_made_for_one_process_stays_for_the_next():
    first, second = Machine(ALONE, precision="fp32"), Machine(ALONE, precision="fp32")
    first.require_group()
    for machine in (first, second, first):
        machine.require_group()
        machine.open()
    first.close()
    second.close()
    assert distributed.is_initialized()
    Machine(ALONE, precision="fp32").require_group()
    assert distributed.get_world_size() == 1


def test_a_precision_is_measured_once_a_process():
    one, two = SingleStrategy(device="cpu"), SingleStrategy(device="cpu")
    assert one.precision is two.precision
    assert torch.device("cpu") == one.device == one.machine.device
