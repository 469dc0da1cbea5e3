"""Learning-rate factors, by their values."""

import pytest

from xtune.errors import ConfigError
from xtune.optim.schedules import ConstantSchedule, CosineSchedule, LinearSchedule, WSDSchedule


def _values(schedule, steps=8):
    return [schedule(step, steps) for step in range(steps)]


def test_cosine():
    assert _values(CosineSchedule(), 4) == pytest.approx([1, 0.85355339, 0.5, 0.14644661])
    assert _values(CosineSchedule(min_lr_ratio=0.1), 4)[2] == pytest.approx(0.55)


def test_linear_with_warmup():
    expected = [0.5, 1.0, 1.0, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    assert _values(LinearSchedule(warmup_ratio=0.25)) == pytest.approx(expected)


def test_constant_with_warmup():
    assert _values(ConstantSchedule(warmup_ratio=0.5)) == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]


def test_warmup_stable_decay():
    schedule = WSDSchedule(warmup_ratio=0.25, decay_ratio=0.5, min_lr_ratio=0.1)
    assert _values(schedule) == pytest.approx([0.5, 1, 1, 1, 1, 1, 0.7, 0.4])


def test_warmup_steps_are_rounded_up_and_never_zero():
    assert CosineSchedule(warmup_ratio=0.03)(0, 10) == 1.0  # one step of warmup, at the full rate
    assert CosineSchedule(warmup_ratio=0.03)(0, 100) == pytest.approx(1 / 3)


def test_all_steps_may_warm_up():
    assert _values(CosineSchedule(warmup_ratio=1.0), 2) == [0.5, 1.0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: CosineSchedule(warmup_ratio=3),
        lambda: LinearSchedule(min_lr_ratio=-1),
        lambda: WSDSchedule(decay_ratio=0),
    ],
)
def test_a_share_outside_0_to_1_is_refused(make):
    with pytest.raises(ConfigError, match="param_scheduler"):
        make()
