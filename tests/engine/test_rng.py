"""Random generators go to disk and come back where they were."""

import random

import numpy as np
import torch

from xtune.checkpoint.state import load_state, save_state
from xtune.engine.rng import load_rng_state, preserved_rng, rng_state, seed_everything


def _draw() -> list[float]:
    numbers = [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn()]
    return [*numbers, torch.rand(1).item(), torch.randn(1).item()]


def test_the_state_on_disk_gives_the_same_numbers(tmp_path):
    seed_everything(3)
    _draw()  # leaves a second gaussian number waiting in two of the generators
    save_state(tmp_path / "state", {"rng": rng_state()})
    expected = _draw()
    seed_everything(4)
    load_rng_state(load_state(tmp_path / "state")["rng"])
    assert _draw() == expected


def test_what_runs_inside_changes_nothing():
    seed_everything(5)
    expected = _draw()
    seed_everything(5)
    with preserved_rng():
        _draw()
    assert _draw() == expected
