"""`Collector`: prompts to a `Rollout`, which is all that the updates of an iteration need.

    draw prompts -> sample -> rewards -> log-probabilities, values -> advantages

Shapes: N answers, F reward functions, T tokens of all answers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from xtune.data.prompts import PromptRow
from xtune.engine.rollout.micro_batches import mini_batches
from xtune.engine.rollout.rewards import Rewards
from xtune.engine.rollout.rollout import Rollout
from xtune.engine.rollout.samples import write_samples
from xtune.engine.rollout.sampling import sample
from xtune.engine.rollout.scoring import token_values
from xtune.engine.rollout.shaping import Shaping
from xtune.errors import TrainingError
from xtune.generation.sampled_answer import SampledAnswer
from xtune.losses.advantages import Advantage, Scored
from xtune.losses.advantages.group import group_moments
from xtune.models.algorithms.actor_critic import ActorCritic
from xtune.models.algorithms.policy import PolicyOptimization
from xtune.parallel.progress import enter

if TYPE_CHECKING:
    from xtune.engine.run import Run

__all__ = ["Collector"]


@dataclass(slots=True)
class Collector:
    """Collects the answers of iterations.

    Attributes:
        rewards, advantage, shaping: what makes advantages of answers.
        prompts, answers, max_new_tokens, draws_for_signal, mask_unended, mini_batches: as
            `RolloutLoop` takes them.
        is_one_update: an iteration has one optimizer step, so that its policy is the one that
            sampled.
        kl_weight: how much the distance from the reference takes from a reward.
        draws: of prompts so far.
    """

    rewards: Rewards
    advantage: Advantage
    shaping: Shaping
    prompts: int
    answers: int
    max_new_tokens: int
    draws_for_signal: int
    mask_unended: bool
    mini_batches: int
    is_one_update: bool
    kl_weight: float | None = None
    draws: int = 0

    def collect(self, run: Run, policy: PolicyOptimization) -> Rollout:
        """Draw prompts, let the policy answer, and find what each of its tokens was worth.

        Args:
            run: whose model answers; all processes call this.
            policy: the run's model.

        Raises:
            TrainingError: no answer has anything to learn from.
        """
        began = time.perf_counter()
        enter("sampling answers", step=run.step + 1, slow=True)
        policy.eval()
        answers, scores, without = self._answered(run, policy)
        policy.train()
        sampled_s = time.perf_counter() - began
        enter("scoring the answers", step=run.step + 1, slow=True)
        prompts = [answers[at].prompt.ids for at in range(0, len(answers), self.answers)]
        group = torch.arange(len(prompts)).repeat_interleave(self.answers)
        rollout = Rollout(prompts, group, [answer.tokens for answer in answers])
        ended = torch.tensor([answer.ended for answer in answers])
        scored = self._scored(run, policy, rollout, scores, ended)
        names = [*self.rewards.names, "reward_model"][: scored.by_function.shape[1]]
        if run.world.is_main:
            write_samples(run.work_dir, run.step + 1, answers, scored, names)
        rollout.is_trained = scored.is_scored & (ended | (not self.mask_unended))
        if not rollout.is_trained.any():
            raise TrainingError(
                f"of {len(answers)} answers none has a reward to learn from"
                + (": all were cut, and mask_unended leaves those out" * self.mask_unended)
                + ". Look at the rewards, and at max_new_tokens"
            )
        if all(answer.log_probs for answer in answers):
            flat = [one for answer in answers for one in answer.log_probs]
            rollout.per_token["sampler_log_prob"] = torch.tensor(flat, dtype=torch.float32)
        rollout.per_token["advantage"] = self.advantage(scored).float()
        rollout.metrics = self._metrics(scored, rollout, ended, names) | {
            "drawn": self.draws * self.prompts,
            "prompts_without_signal": without,
            "rollout_s": sampled_s,
            "rollout_tokens_per_s": int(rollout.lengths.sum()) / sampled_s,
        }
        if (returns := self.advantage.returns(scored)) is not None:
            assert scored.values is not None
            rollout.per_token["returns"] = returns.float()
            spread = returns.var()
            left = (returns - scored.values).var()
            rollout.metrics["explained_variance"] = (1 - left / spread).item() if spread else 0.0
        return rollout

    def steps(self, run: Run, rollout: Rollout, pass_number: int) -> list[list[list[int]]]:
        """Return the answers of each micro-batch of each mini-batch of a pass.

        Args:
            run: whose seed orders them.
            rollout: the answers.
            pass_number: from 0 on.
        """
        seed = (run.recipe.seed, self.draws, pass_number)
        order = np.random.default_rng(seed).permutation(len(rollout.prompts)).tolist()
        parts = min(self.mini_batches, len(rollout.prompts))
        room = run.recipe.full_item * run.recipe.rows
        made = mini_batches(rollout, parts=parts, room=room, order=order)
        # The end of the data may have fewer prompts than mini-batches
        return [made[at % parts] for at in range(self.mini_batches)]

    def reward(self, run: Run, answers: Sequence[SampledAnswer]) -> Tensor:
        """Return what the functions give, float64 [N, F]; all processes have it afterwards.

        Args:
            run: whose processes ask the functions, each about some of the answers.
            answers: the same on all processes, those to one prompt next to each other.
        """
        count = self.answers if len(answers) % self.answers == 0 else 1
        groups = [answers[at : at + count] for at in range(0, len(answers), count)]
        mine = [answer for group in groups[run.world.rank :: run.world.size] for answer in group]
        width = len(self.rewards.names)
        found = self.rewards(mine) if mine else torch.zeros(0, width)
        scores = torch.empty((len(groups), count, width), dtype=torch.float64)
        for rank, theirs in enumerate(run.world.gather(found)):
            part = scores[rank :: run.world.size]
            scores[rank :: run.world.size] = theirs.double().view(part.shape)
        return scores.flatten(0, 1)

    def _answered(
        self, run: Run, policy: PolicyOptimization
    ) -> tuple[list[SampledAnswer], Tensor, int]:
        """The answers of an iteration, their rewards, and how many prompts had no signal."""
        answers: list[SampledAnswer] = []
        scores: list[Tensor] = []
        without = 0
        for draw in range(1 + self.draws_for_signal):
            first = self.draws * self.prompts
            given = sample(
                run,
                self._draw(run),
                first=first,
                count=self.answers,
                max_new_tokens=self.max_new_tokens,
                temperature=policy.temperature,
            )
            enter("asking the rewards", step=run.step + 1, slow=True)
            found = self.reward(run, given)
            is_last = draw == self.draws_for_signal
            for at in range(0, len(given), self.answers):
                group = slice(at, at + self.answers)
                if not _has_signal(found[group], self.rewards.weights):
                    without += 1
                    # Without any the iteration would have no answers at all
                    if not is_last or (self.draws_for_signal and answers):
                        continue
                answers += given[group]
                scores.append(found[group])
            if len(scores) >= self.prompts:
                break
        kept = self.prompts * self.answers
        return answers[:kept], torch.cat(scores)[:kept], without

    def _draw(self, run: Run) -> list[PromptRow]:
        dataset: Any = run.train_dataset
        drawn = [batch.samples[0] for batch in run.loader.step(self.draws)]
        self.draws += 1
        return [dataset.rows[at] for at in drawn]

    def _scored(
        self,
        run: Run,
        policy: PolicyOptimization,
        rollout: Rollout,
        scores: Tensor,
        ended: Tensor,
    ) -> Scored:
        """Find log-probabilities and values where anything asks for them."""
        rollout.is_trained = torch.ones(len(rollout.answers), dtype=torch.bool)
        steps = self.steps(run, rollout, 0)
        weights, kl, values = self.rewards.weights, None, None
        if not self.is_one_update or policy.needs_reference:
            old = token_values(run, rollout, steps, policy.log_probs)
            rollout.per_token["old_log_prob"] = old
        if policy.needs_reference:
            reference = token_values(run, rollout, steps, policy.reference_log_probs)
            rollout.per_token["reference_log_prob"] = reference
            kl = rollout.per_token["old_log_prob"].double() - reference.double()
        if isinstance(policy, ActorCritic):
            old_value = token_values(run, rollout, steps, policy.values)
            rollout.per_token["old_value"] = old_value
            values = old_value.double()
            if policy.judge is not None:
                given = token_values(run, rollout, steps, policy.reward_scores)
                at_end = given[rollout.starts + rollout.lengths - 1].double() - policy.shift
                scores = torch.cat([scores, at_end[:, None]], dim=1)
                weights = torch.cat([weights, torch.ones(1, dtype=torch.float64)])
        lengths = rollout.lengths
        weight = policy.kl_in_reward if self.kl_weight is None else self.kl_weight
        plain = Scored(scores, weights, rollout.group, lengths)
        shaped = self.shaping(plain.rewards, ended)
        return Scored(scores, weights, rollout.group, lengths, kl, weight, values, shaped)

    def _metrics(
        self, scored: Scored, rollout: Rollout, ended: Tensor, names: Sequence[str]
    ) -> dict[str, float]:
        rewards = scored.rewards[scored.is_scored]
        _, std, _ = group_moments(scored.rewards, scored.groups)
        metrics = {
            "reward": rewards.mean().item(),
            "reward_std": rewards.std(correction=0).item(),
            "answer_length": rollout.lengths.double().mean().item(),
            "unended_share": 1 - ended.double().mean().item(),
            "no_signal_share": (std == 0).double().mean().item(),
        }
        for name, column in zip(names, scored.by_function.T, strict=True):
            known = column[~column.isnan()]
            if len(known):
                metrics[f"reward_{name.removeprefix('reward_')}"] = known.mean().item()
        if scored.kl is not None:
            metrics["answer_kl"] = (scored.kl.sum() / len(scored.lengths)).item()
            metrics["kl_weight"] = scored.kl_in_reward
        if failures := sum(self.rewards.failures.values()):
            metrics["reward_failures"] = failures
        return metrics


def _has_signal(scores: Tensor, weights: Tensor) -> bool:
    """Whether answers to a prompt differ in their rewards, [G, F], which are compared as such."""
    sums = (scores.nan_to_num() * weights).sum(dim=1)[~scores.isnan().all(dim=1)]
    return bool(len(sums) > 1 and (sums != sums[0]).any())
