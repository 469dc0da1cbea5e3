"""What the policy has written, to be looked at: work_dir/rollouts/step_000012.json.

A file an iteration, of its best answers and its worst, with what each reward gave them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from xtune.generation.sampled_answer import SampledAnswer
from xtune.losses.advantages import Scored

__all__ = ["FOLDER", "write_samples"]

FOLDER = "rollouts"
_EACH = 8  # of the best and of the worst


def write_samples(
    work_dir: Path,
    step: int,
    answers: Sequence[SampledAnswer],
    scored: Scored,
    names: Sequence[str],
) -> None:
    """Write the best and the worst answers of an iteration.

    Args:
        work_dir: of the run.
        step: of its first update.
        answers: all of it.
        scored: their rewards.
        names: of the reward functions.
    """
    rewards = scored.rewards.tolist()
    known = [at for at, reward in enumerate(rewards) if not math.isnan(reward)]
    order = sorted(known, key=lambda at: (-rewards[at], at))
    shown = order if len(order) <= 2 * _EACH else [*order[:_EACH], *order[-_EACH:]]
    rows = [
        {
            "prompt": answers[at].prompt.messages,
            "answer": answers[at].text,
            "expected": answers[at].expected,
            "reward": rewards[at],
            "rewards": {
                name: None if math.isnan(value) else value
                for name, value in zip(names, scored.by_function[at].tolist(), strict=True)
            },
            "tokens": len(answers[at].tokens),
            "ended": answers[at].ended,
            "from": answers[at].prompt.where,
        }
        for at in shown
    ]
    folder = work_dir / FOLDER
    folder.mkdir(exist_ok=True)
    told = {"step": step, "answers": len(answers), "shown": rows}
    text = json.dumps(told, ensure_ascii=False, indent=1)
    (folder / f"step_{step:06d}.json").write_text(text + "\n", encoding="utf-8")
