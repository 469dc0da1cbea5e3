"""`RolloutLoop`: the model answers, its answers are scored, and it learns from them; again.

    iteration   draw prompts -> sample answers -> rewards -> advantages
    update 1    first mini-batch of the first pass over these answers
    update 2    …

Each optimizer step is an update of its own, with a line of metrics, a checkpoint if it is due, and
a place to go on from.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from xtune.data.prompts import PromptDataset
from xtune.engine.loops import Loop
from xtune.engine.rollout.collect import Collector
from xtune.engine.rollout.micro_batches import batches_of, dealt
from xtune.engine.rollout.rewards import Rewards
from xtune.engine.rollout.rollout import Rollout
from xtune.engine.rollout.sampling import sample
from xtune.engine.rollout.shaping import Shaping
from xtune.engine.update import update
from xtune.errors import ConfigError
from xtune.losses.advantages import Advantage
from xtune.losses.advantages.group import GroupAdvantage
from xtune.losses.policy.kl_controller import adapted
from xtune.models.algorithms.actor_critic import ActorCritic
from xtune.models.algorithms.policy import PolicyOptimization
from xtune.parallel.progress import enter
from xtune.registry import ADVANTAGES, REWARDS, TRAIN_LOOPS, build

if TYPE_CHECKING:
    from xtune.engine.run import Run

__all__ = ["RolloutLoop"]

_SECONDS = 300.0  # that a reward function may take for the answers of an iteration


@TRAIN_LOOPS.register_module()
class RolloutLoop(Loop):
    """Trains on answers that the model writes itself.

    Next to what the algorithm measures, the first line of an iteration has: `reward`, the mean over
    its answers, `reward_std`, and the mean of each function, `reward_exact_answer`;
    `answer_length`, tokens; `unended_share`, of answers that were cut; `no_signal_share`, of
    prompts whose answers all have the same reward; `answer_kl`, log p - log p_ref summed over an
    answer, where there is a reference; `drawn`, prompts so far; `rollout_s`, seconds, and
    `rollout_tokens_per_s`, of answers.

    Args:
        rewards: what says how good an answer is, `[dict(type='exact_answer')]`; a type may be a
            function of your own, which is given the answers.
        reward_weights: of each; None: 1 each.
        reward_seconds: that one may take for the answers of an iteration.
        advantage: made from ADVANTAGES, `dict(type='grpo')`.
        prompts: that are drawn for an iteration, on all processes together.
        answers: to each of them.
        max_new_tokens: of an answer, at most.
        passes: over the answers of an iteration.
        mini_batches: optimizer steps of each pass.
        draws_for_signal: how often as many prompts are drawn once more where all answers to one
            have the same reward, from which nothing can be learnt; 0: they are kept (DAPO's dynamic
            sampling).
        mask_unended: answers that were cut teach nothing; they still count in their group's mean.
        reward_clip: the sum of the rewards is at least -reward_clip, at most reward_clip; None: as
            it is.
        unended_reward: of an answer that was cut, in place of its own; None: its own.
        unended_penalty: what it loses of its own.
        kl_target: what the distance from the reference, summed over an answer, is kept near, by
            changing the algorithm's `kl_in_reward`; None: that stays as it is.
        kl_horizon: answers in which it may change by a fifth.
        critic_warmup: iterations at first, in which the critic learns alone.
        max_epochs: passes over the prompts.
        max_steps: optimizer steps; overrides max_epochs.
        val_interval: steps between two measurements of the reward on the validation prompts, whose
            likeliest answers are taken; None: only after the last step.
    """

    def __init__(
        self,
        *,
        rewards: Annotated[Sequence[Mapping[str, Any]], REWARDS],
        advantage: Annotated[Mapping[str, Any], ADVANTAGES],
        prompts: int,
        answers: int,
        max_new_tokens: int,
        reward_weights: Sequence[float] | None = None,
        reward_seconds: float = _SECONDS,
        passes: int = 1,
        mini_batches: int = 1,
        draws_for_signal: int = 0,
        mask_unended: bool = False,
        reward_clip: float | None = None,
        unended_reward: float | None = None,
        unended_penalty: float = 0.0,
        kl_target: float | None = None,
        kl_horizon: int = 10_000,
        critic_warmup: int = 0,
        max_epochs: int | None = None,
        max_steps: int | None = None,
        val_interval: int | None = None,
    ) -> None:
        if max_epochs is None and max_steps is None:
            raise ConfigError("train_cfg has neither max_epochs nor max_steps; set one of them")
        for name, value, least in (
            *(("prompts", prompts, 1), ("answers", answers, 1), ("passes", passes, 1)),
            *(("mini_batches", mini_batches, 1), ("draws_for_signal", draws_for_signal, 0)),
            *(("max_new_tokens", max_new_tokens, 1), ("max_epochs", max_epochs, 1)),
            *(("max_steps", max_steps, 1), ("val_interval", val_interval, 1)),
        ):
            if value is not None and value < least:
                raise ConfigError(f"train_cfg.{name} is {value!r}; it is {least} or more")
        if mini_batches > prompts:
            raise ConfigError(
                f"train_cfg.mini_batches is {mini_batches}, and an iteration has {prompts} "
                "prompts, whose answers stay together: give at most as many"
            )
        made: Advantage = build(ADVANTAGES, advantage)
        if answers < 2 and isinstance(made, GroupAdvantage):
            raise ConfigError(
                f"train_cfg.answers is {answers}, and the advantage {advantage['type']!r} compares "
                "the answers to a prompt with each other: give 2 or more, mostly 8"
            )
        self._collector = Collector(
            rewards=Rewards(rewards, reward_weights, seconds=reward_seconds),
            advantage=made,
            shaping=Shaping(
                clip=reward_clip, unended_reward=unended_reward, unended_penalty=unended_penalty
            ),
            prompts=prompts,
            answers=answers,
            max_new_tokens=max_new_tokens,
            draws_for_signal=draws_for_signal,
            mask_unended=mask_unended,
            mini_batches=mini_batches,
            is_one_update=passes * mini_batches == 1,
        )
        self.accumulative_counts = prompts  # items of a draw
        self.passes = passes
        self.mini_batches = mini_batches
        self.kl_target = kl_target
        self.kl_horizon = kl_horizon
        self.critic_warmup = critic_warmup
        self.max_epochs = max_epochs
        self.max_steps = max_steps
        self.val_interval = val_interval
        self._iterations = 0
        self._rollout: Rollout | None = None

    @property
    def updates(self) -> int:
        """Optimizer steps of an iteration."""
        return self.passes * self.mini_batches

    def total_steps(self, steps_per_epoch: int | None) -> int:
        """Return how many optimizer steps the run has.

        Args:
            steps_per_epoch: draws of the prompts.
        """
        if self.max_steps is not None:
            return self.max_steps
        assert self.max_epochs is not None
        assert steps_per_epoch is not None
        return self.max_epochs * steps_per_epoch * self.updates

    def state_dict(self) -> dict[str, Any]:
        """Return how far the prompts are drawn, and the answers that are not used up."""
        return {
            "draws": self._collector.draws,
            "iterations": self._iterations,
            "kl_weight": self._collector.kl_weight,
            "rollout": None if self._rollout is None else self._rollout.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        self._collector.draws = int(state.get("draws", 0))
        self._collector.kl_weight = state.get("kl_weight")
        self._iterations = int(state.get("iterations", 0))
        rollout = state.get("rollout")
        self._rollout = None if rollout is None else Rollout.from_state(rollout)

    def run(self, run: Run) -> None:  # noqa: D102
        policy = _policy_of(run, self._collector.advantage)
        dataset = run.train_dataset
        assert isinstance(dataset, PromptDataset)
        self._collector.rewards.require(dataset.rows)
        policy.train()
        run.agree_to_end()
        while not run.is_over:
            began = time.perf_counter()
            number = run.step % self.updates
            metrics: dict[str, Any] = {}
            if self._rollout is None:
                if isinstance(policy, ActorCritic):
                    policy.trains_policy = self._iterations >= self.critic_warmup
                self._rollout = self._collector.collect(run, policy)
                metrics = self._rollout.metrics
            steps = self._collector.steps(run, self._rollout, number // self.mini_batches)
            answers = steps[number % self.mini_batches]
            batches = batches_of(self._rollout, dealt(answers, run.world), answers[0])
            metrics = update(run, batches, began=began).metrics | metrics
            if number == self.updates - 1:
                self._end_iteration(policy, self._rollout)
            if self._validates_at(run):
                metrics |= self._validated(run)
            run.end_step(metrics)

    def _end_iteration(self, policy: PolicyOptimization, rollout: Rollout) -> None:
        if self.kl_target is not None:
            weight = self._collector.kl_weight
            self._collector.kl_weight = adapted(
                policy.kl_in_reward if weight is None else weight,
                kl=rollout.metrics["answer_kl"],
                target=self.kl_target,
                episodes=len(rollout.answers),
                horizon=self.kl_horizon,
            )
        self._iterations += 1
        self._rollout = None

    def _validates_at(self, run: Run) -> bool:
        if run.val_dataset is None:
            return False
        due = self.val_interval is not None and run.step % self.val_interval == 0
        return due or run.step == run.max_steps

    def _validated(self, run: Run) -> dict[str, float]:
        """The mean reward of the likeliest answers to the validation prompts."""
        enter("answering the validation prompts", step=run.step, slow=True)
        dataset: Any = run.val_dataset
        run.model.eval()
        answers = sample(
            run,
            dataset.rows,
            first=0,
            count=1,
            max_new_tokens=self._collector.max_new_tokens,
            temperature=0.0,
        )
        run.model.train()
        scores = self._collector.reward(run, answers).nan_to_num()
        return {"val_reward": (scores @ self._collector.rewards.weights).mean().item()}


def _policy_of(run: Run, advantage: Advantage) -> PolicyOptimization:
    policy = run.model
    if not isinstance(policy, PolicyOptimization):
        raise ConfigError(
            f"train_cfg.type='RolloutLoop' lets a policy answer, and model.type is "
            f"{type(policy).__name__!r}: name PolicyOptimization, or train_cfg.type='TrainLoop'"
        )
    asks_a_critic = type(advantage).returns is not Advantage.returns
    if isinstance(policy, ActorCritic) != asks_a_critic:
        raise ConfigError(
            "a critic is asked by advantage=dict(type='gae') alone, and only "
            f"algorithm=dict(type='ActorCritic') has one; here it is {type(policy).__name__} with "
            f"{type(advantage).__name__}"
        )
    if run.sequence.size > 1:
        raise ConfigError(
            f"sequence_parallel_size={run.sequence.size} with RolloutLoop: answers are no long "
            "rows; leave it out"
        )
    return policy
