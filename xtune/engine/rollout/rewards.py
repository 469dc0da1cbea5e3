"""`Rewards`: several reward functions with weights, asked about the answers of an iteration.

One that fails, or that does not come back in time, scores nothing there, which is counted and said;
where that happens too often the run ends. Shapes: N answers, F functions.
"""

from __future__ import annotations

import functools
import logging
import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from xtune.data.prompts import PromptRow
from xtune.errors import ConfigError, TrainingError, XtuneError
from xtune.generation.sampled_answer import RewardFunction, SampledAnswer
from xtune.registry import REWARDS, resolve

__all__ = ["Rewards"]

logger = logging.getLogger(__name__)

_MOST_FAILURES = 20  # in a row, of one function, after which a run ends


class Rewards:
    """Reward functions, made of a sheet's `rewards`.

    Attributes:
        names: of the functions, as metrics have them.
        weights: float64 [F].
        failures: how often each has failed so far.

    Args:
        cfgs: `dict(type='exact_answer')` each; a type may be a function of the user's own, which
            takes the answers and returns a number, or None, for each.
        weights: of each; None: 1 each.
        seconds: that a function may take for the answers of an iteration.

    Raises:
        ConfigError: there are none, or weights that do not fit.
    """

    def __init__(
        self,
        cfgs: Sequence[Mapping[str, Any]],
        weights: Sequence[float] | None,
        *,
        seconds: float,
    ) -> None:
        if not cfgs:
            raise ConfigError(
                "train_cfg.rewards is empty, so that no answer is better than another: give one "
                "or more, such as rewards=[dict(type='exact_answer')]"
            )
        if weights is not None and len(weights) != len(cfgs):
            raise ConfigError(
                f"train_cfg.reward_weights has {len(weights)} numbers for {len(cfgs)} rewards: "
                "give one for each, or leave it out"
            )
        self._functions = [_function_of(cfg) for cfg in cfgs]
        self.names = _different([_name_of(cfg["type"]) for cfg in cfgs])
        self.weights = torch.tensor(weights or [1.0] * len(cfgs), dtype=torch.float64)
        if not self.weights.isfinite().all() or not self.weights.any():
            raise ConfigError(
                f"train_cfg.reward_weights is {weights}: give finite numbers, one of them not 0"
            )
        self._seconds = seconds
        self.failures: Counter[str] = Counter()
        self._in_a_row: Counter[str] = Counter()

    def require(self, prompts: Sequence[PromptRow]) -> None:
        """Refuse prompts that lack what a function asks of their rows, before the first answer.

        Raises:
            DataError: they do; says where, and what is missing.
        """
        for function in self._functions:
            if (check := getattr(function, "require", None)) is not None:
                check(prompts)

    def __call__(self, answers: Sequence[SampledAnswer]) -> Tensor:
        """Return what each function gives each answer, float64 [N, F]; nan where it gives nothing.

        Args:
            answers: those to one prompt next to each other.

        Raises:
            TrainingError: a function gives what is no number, or has failed too often.
        """
        columns = [
            self._scores(name, function, answers)
            for name, function in zip(self.names, self._functions, strict=True)
        ]
        return torch.stack(columns, dim=1)

    def _scores(
        self, name: str, function: RewardFunction, answers: Sequence[SampledAnswer]
    ) -> Tensor:
        nothing = torch.full((len(answers),), torch.nan, dtype=torch.float64)
        try:
            given = _within(self._seconds, lambda: function(answers))
        except Exception as error:
            if isinstance(error, XtuneError) and not isinstance(error, _TooLong):
                raise
            self.failures[name] += 1
            self._in_a_row[name] += 1
            said = f"reward {name} fails with {type(error).__name__}: {error}"
            if self._in_a_row[name] >= _MOST_FAILURES:
                raise TrainingError(
                    f"{said}. It has failed {_MOST_FAILURES} times in a row, so that nothing is "
                    "learnt: mend it, then go on with --resume"
                ) from error
            logger.warning("%s; these %d answers have no such reward", said, len(answers))
            return nothing
        self._in_a_row[name] = 0
        if not isinstance(given, Sequence | Tensor) or len(given) != len(answers):
            raise TrainingError(
                f"reward {name} returns {_shown(given)} for {len(answers)} answers: return a list "
                "with a number for each, or None where it has nothing to say"
            )
        return torch.tensor([_number(name, one) for one in given], dtype=torch.float64)


class _TooLong(XtuneError):
    """A function has not come back in time."""


def _within(seconds: float, work: Callable[[], Any]) -> Any:
    """Call a function in a thread, which is left to itself if it takes too long."""
    said: list[Any] = []
    failed: list[BaseException] = []

    def call() -> None:
        try:
            said.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=call, name="reward", daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not said:
        raise _TooLong(f"it has not come back within {seconds:g} s")
    return said[0]


def _function_of(cfg: Mapping[str, Any]) -> RewardFunction:
    named = resolve(REWARDS, cfg["type"])
    options = {key: value for key, value in cfg.items() if key != "type"}
    if isinstance(named, type):
        return cast(RewardFunction, named(**options))
    return functools.partial(named, **options)


def _name_of(named: Any) -> str:
    name = named if isinstance(named, str) else str(getattr(named, "__name__", named))
    return name.rsplit(":", 1)[-1].rsplit(".", 1)[-1]


def _different(given: Sequence[str]) -> list[str]:
    """Number what has the same name: 'length', 'length_2'."""
    seen: Counter[str] = Counter()
    made = []
    for name in given:
        seen[name] += 1
        made.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return made


def _number(name: str, given: Any) -> float:
    if given is None:
        return math.nan
    if isinstance(given, str | bytes) or not isinstance(given, bool | int | float | Tensor):
        try:  # numbers of NumPy
            return float(given) if not isinstance(given, str | bytes) else _refuse(name, given)
        except (TypeError, ValueError):
            _refuse(name, given)
    number = float(given)
    if not math.isfinite(number):
        _refuse(name, given)
    return number


def _refuse(name: str, given: Any) -> float:
    raise TrainingError(
        f"reward {name} gives {_shown(given)} for an answer: return a finite number, or None where "
        "it has nothing to say"
    )


def _shown(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:57]}…"
