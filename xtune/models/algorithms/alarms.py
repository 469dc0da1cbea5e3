"""`Alarms`: what an algorithm's own numbers say goes wrong, step by step, and what to do then.

Each is said once in a run. Numbers of one step depend on which rows it has: means over `WINDOW`
steps are compared.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["WINDOW", "Alarms", "PairAlarms", "RewardAlarms", "UnpairedAlarms"]

WINDOW = 10  # steps

# Better answers that are so much longer than the worse ones teach length above all
_LONGER = 1.5
# Where scores go with lengths as closely as this, length is what is scored
_BY_LENGTH = 0.8
# Times their numbers, the weights of good and of bad answers; KTO's paper, section 5
_BALANCED = (1.0, 4 / 3)


class Alarms(ABC):
    """Looks at each step's metrics; has a state, which checkpoints hold.

    Attributes:
        state: JSON values: sums over the first and the last steps, and what has been said.
    """

    def __init__(self) -> None:
        self.state: dict[str, Any] = {"steps": 0, "first": {}, "last": [], "said": []}

    def look(self, metrics: Mapping[str, float]) -> Iterator[str]:
        """Take in a step's metrics, and yield what is to be said now.

        Args:
            metrics: a line of metrics.jsonl; all steps come one after the other.
        """
        state = self.state
        state["steps"] += 1
        own = {name: metrics[name] for name in self.names if name in metrics}
        if state["steps"] <= WINDOW:
            for name, value in own.items():
                state["first"][name] = state["first"].get(name, 0.0) + value
        state["last"] = [*state["last"][-WINDOW + 1 :], own]
        if state["steps"] % WINDOW:
            return
        last = {name: sum(step.get(name, 0.0) for step in state["last"]) for name in own}
        for name, message in self.found(state["first"], last, state["steps"]):
            if name not in state["said"]:
                state["said"].append(name)
                yield message

    names: tuple[str, ...] = ()

    @abstractmethod
    def found(
        self, first: Mapping[str, float], last: Mapping[str, float], steps: int
    ) -> Iterator[tuple[str, str]]:
        """Yield what is wrong: a name for it, and the message with the next step.

        Args:
            first: sums of the metrics `names` over the first `WINDOW` steps.
            last: the same of the last.
            steps: so far, a multiple of `WINDOW`.
        """


class PairAlarms(Alarms):
    """Looks at pairs: answers that become unlikely, pairs not learnt, length in place of worth.

    That both rewards fall is no alarm: it is how these losses work.
    """

    names = ("reward_accuracy", "logp_chosen", "length_chosen", "length_rejected")

    def found(  # noqa: D102
        self, first: Mapping[str, float], last: Mapping[str, float], steps: int
    ) -> Iterator[tuple[str, str]]:
        before, now = (of["logp_chosen"] / (of["length_chosen"] or 1) for of in (first, last))
        if steps > WINDOW and now < 1.5 * before:
            yield (
                "unlikely",
                f"the better answers' log-probability was {before:.2f} a token in the first "
                f"{WINDOW} steps and is {now:.2f} now, more than half as much again: the model "
                "forgets how to answer. Lower lr, raise beta, or give sft_weight",
            )
        yield from _not_learnt(last, steps, "the larger reward")
        ratio = first["length_chosen"] / (first["length_rejected"] or 1)
        if not 1 / _LONGER <= ratio <= _LONGER:
            word = "longer" if ratio > 1 else "shorter"
            share = ratio if ratio > 1 else 1 / ratio
            yield (
                "length",
                f"the better answers are {share:.1f} times {word} than the worse ones: length is "
                "the easiest thing to learn from such pairs. A loss per token (sigmoid_norm, ipo, "
                "simpo) or ld_alpha=0.5 counts it less; watch the length of evaluation_inputs",
            )


class RewardAlarms(Alarms):
    """Looks at a reward model: pairs that are not learnt, length in place of worth."""

    names = ("reward_accuracy", "length_correlation")

    def found(  # noqa: D102
        self, first: Mapping[str, float], last: Mapping[str, float], steps: int
    ) -> Iterator[tuple[str, str]]:
        yield from _not_learnt(last, steps, "the better score")
        by_length = last["length_correlation"] / WINDOW
        if steps > WINDOW and abs(by_length) >= _BY_LENGTH:
            word = "longer" if by_length > 0 else "shorter"
            yield (
                "length",
                f"scores and lengths of answers correlate by {by_length:.2f}: what is {word} is "
                "taken for better. Look whether the data say so (xtune log-dataset); add pairs in "
                "which the better answer is the other one, or leave out those whose lengths "
                "differ most",
            )


class UnpairedAlarms(Alarms):
    """Looks at judged answers: the two kinds' weights, and good answers that become unlikely.

    Args:
        desirable: weight of a good answer.
        undesirable: of a bad one.
    """

    names = ("desirable_share", "reward_margin")

    def __init__(self, desirable: float, undesirable: float) -> None:
        super().__init__()
        self.desirable, self.undesirable = desirable, undesirable

    def found(  # noqa: D102
        self, first: Mapping[str, float], last: Mapping[str, float], steps: int
    ) -> Iterator[tuple[str, str]]:
        good = first["desirable_share"] / WINDOW
        if 0 < good < 1:
            ratio = self.desirable * good / (self.undesirable * (1 - good))
            low, high = _BALANCED
            if not 0.99 * low <= ratio <= 1.01 * high:
                fair = self.undesirable * (1 - good) / good
                yield (
                    "weights",
                    f"{good:.0%} of the answers are good, so that together they weigh {ratio:.2f} "
                    f"times what the bad ones do; {low:.0f} to {high:.2f} is right. Give "
                    f"desirable_weight from {low * fair:.2f} to {high * fair:.2f}",
                )
        if steps >= 5 * WINDOW and 0 < good < 1 and last["reward_margin"] < 0:
            yield (
                "not learnt",
                f"after {steps} steps bad answers have the larger reward: look with xtune "
                "log-dataset whether the labels are swapped; if they are right, raise lr",
            )


def _not_learnt(last: Mapping[str, float], steps: int, what: str) -> Iterator[tuple[str, str]]:
    """Say that the better answers of pairs have `what` less often than by chance."""
    accuracy = last["reward_accuracy"] / WINDOW
    if steps >= 5 * WINDOW and accuracy < 0.5:
        yield (
            "not learnt",
            f"after {steps} steps the better answer has {what} in {accuracy:.0%} of the last "
            "pairs, less than by chance: look with xtune log-dataset whether chosen and rejected "
            "are swapped; if they are right, raise lr",
        )
