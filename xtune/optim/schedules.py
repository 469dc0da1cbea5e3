"""Learning-rate schedules: pure functions of the step, so resuming needs nothing but the step.

`schedule(step, max_steps)` returns the factor on the base learning rate for optimizer step `step`
(0 for the first). All begin with a linear warmup that reaches 1 at its last step:

    factor  1 |    ___            cosine, linear: fall to min_lr_ratio at the end
              |   /   \\           constant: stays at 1
              |  /     \\          WSD: warmup, stable, and decay only in the last decay_ratio
              +--------------- step
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from xtune.errors import ConfigError
from xtune.registry import SCHEDULES

__all__ = ["ConstantSchedule", "CosineSchedule", "LinearSchedule", "Schedule", "WSDSchedule"]


class Schedule(ABC):
    """Linear warmup, then what `after_warmup` says.

    Args:
        warmup_ratio: share of all steps that warm up, 0 to 1.
        min_lr_ratio: the factor that the schedule ends at, 0 to 1.
    """

    def __init__(self, *, warmup_ratio: float = 0.0, min_lr_ratio: float = 0.0) -> None:
        for name, value in {"warmup_ratio": warmup_ratio, "min_lr_ratio": min_lr_ratio}.items():
            if not 0 <= value <= 1:
                raise ConfigError(f"param_scheduler.{name} is {value!r}; it is a share, 0 to 1")
        self.warmup_ratio = warmup_ratio
        self.min_lr_ratio = min_lr_ratio

    def __call__(self, step: int, max_steps: int) -> float:
        """Return the factor on the base learning rate at `step`, 0 <= step < max_steps."""
        warmup = math.ceil(self.warmup_ratio * max_steps)
        if step < warmup:
            return (step + 1) / warmup
        return self.after_warmup((step - warmup) / max(max_steps - warmup, 1))

    @abstractmethod
    def after_warmup(self, progress: float) -> float:
        """Return the factor at `progress`: 0 at the first step after warmup, 1 past the last."""


@SCHEDULES.register_module()
class CosineSchedule(Schedule):
    """Half a cosine from 1 down to `min_lr_ratio`."""

    def after_warmup(self, progress: float) -> float:  # noqa: D102
        return self.min_lr_ratio + (1 - self.min_lr_ratio) * (1 + math.cos(math.pi * progress)) / 2


@SCHEDULES.register_module()
class LinearSchedule(Schedule):
    """A straight line from 1 down to `min_lr_ratio`."""

    def after_warmup(self, progress: float) -> float:  # noqa: D102
        return 1 - (1 - self.min_lr_ratio) * progress


@SCHEDULES.register_module()
class ConstantSchedule(Schedule):
    """The base learning rate, after warmup.

    Args:
        warmup_ratio: share of all steps that warm up, 0 to 1.
    """

    def __init__(self, *, warmup_ratio: float = 0.0) -> None:
        super().__init__(warmup_ratio=warmup_ratio)

    def after_warmup(self, progress: float) -> float:  # noqa: D102
        return 1.0


@SCHEDULES.register_module()
class WSDSchedule(Schedule):
    """Warmup, stable, decay: constant until the last `decay_ratio` of the steps, then a line down.

    Args:
        warmup_ratio: share of all steps that warm up, 0 to 1.
        decay_ratio: share of the steps after warmup that decay, 0 to 1.
        min_lr_ratio: the factor that the schedule ends at, 0 to 1.
    """

    def __init__(
        self, *, warmup_ratio: float = 0.0, decay_ratio: float = 0.2, min_lr_ratio: float = 0.0
    ) -> None:
        super().__init__(warmup_ratio=warmup_ratio, min_lr_ratio=min_lr_ratio)
        if not 0 < decay_ratio <= 1:
            raise ConfigError(
                f"param_scheduler.decay_ratio is {decay_ratio!r}; above 0 and at most 1"
            )
        self.decay_ratio = decay_ratio

    def after_warmup(self, progress: float) -> float:  # noqa: D102
        into_decay = max(0.0, (progress - (1 - self.decay_ratio)) / self.decay_ratio)
        return 1 - (1 - self.min_lr_ratio) * into_decay
