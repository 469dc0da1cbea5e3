"""`PolicyAlarms`: what the numbers of sampled answers say goes wrong, and what to do then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from xtune.models.algorithms.alarms import Alarms

__all__ = ["PolicyAlarms"]

_WINDOW = 5  # iterations whose means are compared
_OFF_POLICY = 0.01  # |1 - ratio| in the first update of a rollout, where the policy has not moved
_SAMPLER = 0.05  # nats of a token


class PolicyAlarms(Alarms):
    """Looks at iterations: the lines that have a reward. Each is said once in a run."""

    names = (
        *("reward", "answer_length", "unended_share", "no_signal_share", "entropy"),
        *("ratio_error", "sampler_difference", "explained_variance", "answer_kl", "clip_high"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.state = {"steps": 0, "first": {}, "last": [], "said": []}

    def look(self, metrics: Mapping[str, float]) -> Iterator[str]:
        """Take in a step's metrics, and yield what is to be said now.

        Args:
            metrics: a line of metrics.jsonl; all steps come one after the other.
        """
        if "reward" not in metrics:
            return
        state = self.state
        state["steps"] += 1
        own = {name: metrics[name] for name in self.names if name in metrics}
        if state["steps"] <= _WINDOW:
            for name, value in own.items():
                state["first"][name] = state["first"].get(name, 0.0) + value / _WINDOW
        state["last"] = [*state["last"][1 - _WINDOW :], own]
        if len(state["last"]) < _WINDOW and own.get("ratio_error", 0.0) <= _OFF_POLICY:
            return
        last = {
            name: sum(one.get(name, 0.0) for one in state["last"]) / len(state["last"])
            for name in own
        }
        for name, message in self.found(state["first"], last, state["steps"]):
            if name not in state["said"]:
                state["said"].append(name)
                yield message

    def found(  # noqa: D102
        self, first: Mapping[str, float], last: Mapping[str, float], steps: int
    ) -> Iterator[tuple[str, str]]:
        if last.get("ratio_error", 0.0) > _OFF_POLICY:
            yield (
                "ratio",
                f"in the first update of a rollout the ratio is off 1 by {last['ratio_error']:.3f} "
                "a token: the policy that learns is not the one that was scored. Dropout, another "
                "dtype or another temperature do that",
            )
        if last.get("sampler_difference", 0.0) > _SAMPLER:
            yield (
                "sampler",
                f"sampling and training differ by {last['sampler_difference']:.3f} nats a token: "
                "in 16 bits 0.01 to 0.05 is rounding; more makes rollouts of another policy. Try "
                "strategy.precision='fp32' for a few steps: the difference must be gone",
            )
        if steps < _WINDOW:
            return
        if last.get("no_signal_share", 0.0) > 0.5:
            yield (
                "no signal",
                f"of {last['no_signal_share']:.0%} of the prompts all answers have the same "
                "reward, from which nothing is learnt. Give more answers to each prompt, "
                "draws_for_signal=4, easier prompts (or a better start) if rewards are low, "
                "harder ones if they are high, or a reward with more steps",
            )
        if last.get("unended_share", 0.0) > 0.3:
            yield (
                "unended",
                f"{last['unended_share']:.0%} of the answers are cut at max_new_tokens: raise it, "
                "give dict(type='length', …) among the rewards, or mask_unended=True",
            )
        if steps < 2 * _WINDOW:
            return
        if last["entropy"] < first["entropy"] / 3:
            yield (
                "entropy",
                f"the entropy fell from {first['entropy']:.2f} to {last['entropy']:.2f} nats a "
                "token: answers become all alike, and nothing new is tried. Lower lr, raise "
                "loss.clip_high, or give kl_in_loss=0.001",
            )
        longer = last["answer_length"] > 1.5 * first["answer_length"]
        if longer and last["reward"] <= first["reward"]:
            yield (
                "length",
                f"answers grew from {first['answer_length']:.0f} to {last['answer_length']:.0f} "
                "tokens and the reward did not: look at samples; loss=dict(type='dr_grpo', …) "
                "divides by one length, dict(type='length', …) among the rewards costs it",
            )
        if steps >= 4 * _WINDOW and last.get("explained_variance", 1.0) < 0:
            yield (
                "critic",
                f"the critic explains nothing of the returns ({last['explained_variance']:.2f}) "
                f"after {steps} iterations: give it critic_warmup, a reward model as "
                "critic_start, or a larger learning rate "
                "(paramwise_cfg=dict(custom_keys={'critic': dict(lr_mult=5)}))",
            )
        if last.get("answer_kl", 0.0) < -0.5:
            yield (
                "kl",
                f"the distance from the reference is {last['answer_kl']:.2f} nats an answer; that "
                "it is negative on average cannot be: answers are not sampled from the policy as "
                "it is, or the reference is another model than the policy began as",
            )
