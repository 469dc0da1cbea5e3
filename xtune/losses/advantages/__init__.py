"""How much better a sampled answer was than what was to be expected: pure functions of rewards.

advantage.py              `Scored`, what is known of an iteration's answers, and `Advantage`
group.py                  against the other answers to the prompt: grpo, dr_grpo, batch_std, rloo
gdpo.py                   the same for several rewards, each by itself
reinforce_plus_plus.py    against all answers, token by token
gae.py                    against what a critic expects: PPO
whitening.py              mean 0, standard deviation 1
"""

from __future__ import annotations

from xtune.losses.advantages.advantage import Advantage, Scored

__all__ = ["Advantage", "Scored"]
