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

import numpy as np
import torch
from torch import Tensor

from xtune.data.prompts import PromptDataset, PromptRow
from xtune.engine.loops import Loop
from xtune.engine.rollout.micro_batches import batches_of, dealt, mini_batches
from xtune.engine.rollout.rewards import Rewards
from xtune.engine.rollout.rollout import Rollout
from xtune.engine.rollout.sampling import sample
from xtune.engine.rollout.scoring import token_values
from xtune.engine.update import update
from xtune.errors import ConfigError, TrainingError
from xtune.generation.sampled_answer import SampledAnswer
from xtune.losses.advantages import Advantage, Scored
from xtune.losses.advantages.group import group_moments
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
        self.rewards = Rewards(rewards, reward_weights, seconds=reward_seconds)
        self.advantage: Advantage = build(ADVANTAGES, advantage)
        if answers < 2 and getattr(self.advantage, "of_answers", None) is not None:
            raise ConfigError(
                f"train_cfg.answers is {answers}, and the advantage {advantage['type']!r} compares "
                "the answers to a prompt with each other: give 2 or more, mostly 8"
            )
        self.prompts = self.accumulative_counts = prompts  # items of a draw
        self.answers = answers
        self.max_new_tokens = max_new_tokens
        self.passes = passes
        self.mini_batches = mini_batches
        self.draws_for_signal = draws_for_signal
        self.mask_unended = mask_unended
        self.max_epochs = max_epochs
        self.max_steps = max_steps
        self.val_interval = val_interval
        self._draws = 0  # of the loader
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
        rollout = None if self._rollout is None else self._rollout.state_dict()
        return {"draws": self._draws, "rollout": rollout}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        self._draws = int(state.get("draws", 0))
        rollout = state.get("rollout")
        self._rollout = None if rollout is None else Rollout.from_state(rollout)

    def run(self, run: Run) -> None:  # noqa: D102
        policy = _policy_of(run)
        dataset = run.train_dataset
        assert isinstance(dataset, PromptDataset)
        self.rewards.require(dataset.rows)
        policy.train()
        run.agree_to_end()
        while not run.is_over:
            began = time.perf_counter()
            update_number = run.step % self.updates
            metrics: dict[str, Any] = {}
            if self._rollout is None:
                self._rollout = self._collect(run, policy)
                metrics = self._rollout.metrics
            steps = self._steps(run, self._rollout, update_number // self.mini_batches)
            answers = steps[update_number % self.mini_batches]
            batches = batches_of(self._rollout, dealt(answers, run.world), answers[0])
            metrics = update(run, batches, began=began).metrics | metrics
            if update_number == self.updates - 1:
                self._rollout = None
            if self._validates_at(run):
                metrics |= self._validated(run)
            run.end_step(metrics)

    def _collect(self, run: Run, policy: PolicyOptimization) -> Rollout:
        """Draw prompts, let the policy answer, and find what its answers are worth."""
        began = time.perf_counter()
        enter("sampling answers", step=run.step + 1, slow=True)
        policy.eval()
        answers, scores, without = self._answered(run, policy)
        policy.train()
        sampled_s = time.perf_counter() - began
        prompts = [answers[at].prompt.ids for at in range(0, len(answers), self.answers)]
        group = torch.arange(len(prompts)).repeat_interleave(self.answers)
        rollout = Rollout(prompts, group, [answer.tokens for answer in answers])
        is_scored = ~scores.isnan().all(dim=1)
        ended = torch.tensor([answer.ended for answer in answers])
        rollout.is_trained = is_scored & ended if self.mask_unended else is_scored.clone()
        if not rollout.is_trained.any():
            raise TrainingError(
                f"of {len(answers)} answers none has a reward to learn from"
                + (": all were cut, and mask_unended leaves those out" * self.mask_unended)
                + ". Look at the rewards, and at max_new_tokens"
            )
        reference = self._score(run, policy, rollout)
        if all(answer.log_probs for answer in answers):
            flat = [one for answer in answers for one in answer.log_probs]
            rollout.per_token["sampler_log_prob"] = torch.tensor(flat, dtype=torch.float32)
        kl = None
        if reference is not None:
            kl = rollout.per_token["old_log_prob"].double() - reference.double()
        scored = Scored(
            scores, self.rewards.weights, group, rollout.lengths, kl, policy.kl_in_reward
        )
        rollout.per_token["advantage"] = self.advantage(scored).float()
        rollout.metrics = self._metrics(scored, rollout, ended) | {
            "drawn": self._draws * self.prompts,
            "prompts_without_signal": without,
            "rollout_s": sampled_s,
            "rollout_tokens_per_s": int(rollout.lengths.sum()) / sampled_s,
        }
        return rollout

    def _answered(
        self, run: Run, policy: PolicyOptimization
    ) -> tuple[list[SampledAnswer], Tensor, int]:
        """The answers of an iteration, their rewards, and how many prompts had no signal."""
        answers: list[SampledAnswer] = []
        scores: list[Tensor] = []
        without = 0
        for draw in range(1 + self.draws_for_signal):
            first = self._draws * self.prompts
            prompts = self._draw(run)
            given = sample(
                run,
                prompts,
                first=first,
                count=self.answers,
                max_new_tokens=self.max_new_tokens,
                temperature=policy.temperature,
            )
            found = self._rewarded(run, given)
            for at in range(0, len(given), self.answers):
                group = slice(at, at + self.answers)
                if not _has_signal(found[group], self.rewards.weights):
                    without += 1
                    if draw < self.draws_for_signal or (self.draws_for_signal and answers):
                        continue
                answers += given[group]
                scores.append(found[group])
            if len(scores) >= self.prompts:
                break
        kept = self.prompts * self.answers
        return answers[:kept], torch.cat(scores)[:kept], without

    def _draw(self, run: Run) -> list[PromptRow]:
        dataset: Any = run.train_dataset
        drawn = [batch.samples[0] for batch in run.loader.step(self._draws)]
        self._draws += 1
        return [dataset.rows[at] for at in drawn]

    def _rewarded(self, run: Run, answers: Sequence[SampledAnswer]) -> Tensor:
        """What the functions give, [N, F]; each process asks them about some of the prompts."""
        enter("asking the rewards", step=run.step + 1, slow=True)
        groups = [answers[at : at + self.answers] for at in range(0, len(answers), self.answers)]
        mine = [answer for group in groups[run.world.rank :: run.world.size] for answer in group]
        found = self.rewards(mine) if mine else torch.zeros(0, len(self.rewards.names))
        scores = torch.empty(
            len(groups), self.answers, len(self.rewards.names), dtype=torch.float64
        )
        for rank, theirs in enumerate(run.world.gather(found)):
            part = scores[rank :: run.world.size]
            scores[rank :: run.world.size] = theirs.double().view(part.shape)
        return scores.flatten(0, 1)

    def _score(self, run: Run, policy: PolicyOptimization, rollout: Rollout) -> Tensor | None:
        """Find `old_log_prob` and `reference_log_prob` where anything asks for them."""
        steps = self._steps(run, rollout, 0)
        if self.updates > 1 or policy.needs_reference:
            enter("scoring the answers", step=run.step + 1, slow=True)
            old = token_values(run, rollout, steps, policy.log_probs)
            rollout.per_token["old_log_prob"] = old
        if not policy.needs_reference:
            return None
        reference = token_values(run, rollout, steps, policy.reference_log_probs)
        rollout.per_token["reference_log_prob"] = reference
        return reference

    def _steps(self, run: Run, rollout: Rollout, pass_number: int) -> list[list[list[int]]]:
        """Micro-batches of each mini-batch of a pass over a rollout."""
        seed = (run.recipe.seed, self._draws, pass_number)
        order = np.random.default_rng(seed).permutation(len(rollout.prompts)).tolist()
        parts = min(self.mini_batches, len(rollout.prompts))
        made = mini_batches(
            rollout, parts=parts, room=run.recipe.full_item * run.recipe.rows, order=order
        )
        # The end of the data may have fewer prompts than mini-batches
        return [made[at % parts] for at in range(self.mini_batches)]

    def _metrics(self, scored: Scored, rollout: Rollout, ended: Tensor) -> dict[str, float]:
        rewards = scored.rewards[scored.is_scored]
        _, std, _ = group_moments(scored.rewards, scored.groups)
        metrics = {
            "reward": rewards.mean().item(),
            "reward_std": rewards.std(correction=0).item(),
            "answer_length": rollout.lengths.double().mean().item(),
            "unended_share": 1 - ended.double().mean().item(),
            "no_signal_share": (std == 0).double().mean().item(),
        }
        for name, column in zip(self.rewards.names, scored.by_function.T, strict=True):
            known = column[~column.isnan()]
            if len(known):
                metrics[f"reward_{name}"] = known.mean().item()
        if scored.kl is not None:
            metrics["answer_kl"] = (scored.kl.sum() / len(scored.lengths)).item()
        if failures := sum(self.rewards.failures.values()):
            metrics["reward_failures"] = failures
        return metrics

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
            run, dataset.rows, first=0, count=1, max_new_tokens=self.max_new_tokens, temperature=0.0
        )
        run.model.train()
        rewards = self.rewards.weights @ self.rewards(answers).nan_to_num().T
        return {"val_reward": rewards.mean().item()}


def _policy_of(run: Run) -> PolicyOptimization:
    if not isinstance(run.model, PolicyOptimization):
        raise ConfigError(
            f"train_cfg.type='RolloutLoop' lets a policy answer, and model.type is "
            f"{type(run.model).__name__!r}: name PolicyOptimization, or train_cfg.type='TrainLoop'"
        )
    if run.sequence.size > 1:
        raise ConfigError(
            f"sequence_parallel_size={run.sequence.size} with RolloutLoop: answers are no long "
            "rows; leave it out"
        )
    return run.model


def _has_signal(scores: Tensor, weights: Tensor) -> bool:
    """Whether answers to a prompt differ in their rewards, [G, F], which are compared as such."""
    sums = (scores.nan_to_num() * weights).sum(dim=1)[~scores.isnan().all(dim=1)]
    return bool(len(sums) > 1 and (sums != sums[0]).any())
