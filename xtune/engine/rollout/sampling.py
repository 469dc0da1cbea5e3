"""The model that is trained answers prompts, on all processes of a run.

An answer is a function of the weights, the run's seed, how many prompts were drawn before, and its
number among those to its prompt: the same on one process and on several, and after --resume.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from xtune.data.prompts import PromptRow
from xtune.data.tool_calls import call_form
from xtune.engine.rng import preserved_rng
from xtune.generation.generate import answer_rows
from xtune.generation.row import Row
from xtune.generation.sampled_answer import SampledAnswer, calls_in
from xtune.parallel.in_step import all_or_none

if TYPE_CHECKING:
    from xtune.engine.run import Run

__all__ = ["sample", "seed_of"]


def sample(
    run: Run,
    prompts: Sequence[PromptRow],
    *,
    first: int,
    count: int,
    max_new_tokens: int,
    temperature: float,
) -> list[SampledAnswer]:
    """Return answers to prompts, those to one prompt next to each other; all processes call this.

    Each process answers some of the prompts, and all have all answers afterwards.

    Args:
        run: whose model answers.
        prompts: the same on all processes.
        first: how many prompts were drawn before these.
        count: answers to each.
        max_new_tokens: of an answer, at most.
        temperature: above 0.
    """
    own = range(run.world.rank, len(prompts), run.world.size)
    asked = [(at, number) for at in own for number in range(count)]
    together = run.strategy.shards_model
    answer = partial(
        answer_rows,
        run.llm,
        run.tokenizer,
        [prompts[at].ids for at, _ in asked],
        stop_words=run.template.stop_words,
        batch_size=None,
        seeds=[seed_of(run.recipe.seed, first + at, number) for at, number in asked],
        # At another temperature than 1 what the sampler notes is of other probabilities
        note=temperature == 1,
        together=together,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
    )
    with preserved_rng():
        rows = run.strategy.run_apart(partial(all_or_none, answer) if together else answer)
    mine = [_written(row) for row in rows]
    answers: dict[tuple[int, int], SampledAnswer] = {}
    form = call_form(run.template) if any(prompt.tools for prompt in prompts) else None
    for rank, theirs in enumerate(run.world.gather(mine)):
        places = [
            (at, number)
            for at in range(rank, len(prompts), run.world.size)
            for number in range(count)
        ]
        for (at, number), (tokens, text, written, ended, noted) in zip(places, theirs, strict=True):
            calls = calls_in(text, written, form if prompts[at].tools else None)
            answers[at, number] = SampledAnswer(
                prompts[at], tokens, text, written, ended, calls, noted
            )
    return [answers[at, number] for at in range(len(prompts)) for number in range(count)]


def seed_of(seed: int, prompt: int, answer: int) -> int:
    """Return the seed of an answer's dice, below 2**62.

    Args:
        seed: of the run.
        prompt: how many prompts were drawn before.
        answer: its number among those to the prompt.
    """
    told = hashlib.sha256(f"{seed} {prompt} {answer}".encode()).digest()
    return int.from_bytes(told[:8], "big") >> 2


def _written(row: Row) -> tuple[tuple[int, ...], str, str, bool, tuple[float, ...]]:
    answer = row.answer
    tokens = tuple(row.ids[len(row.prompt) :])
    noted = tuple(one.log_probability for one in row.noted)
    return tokens, answer.text, answer.written, answer.ended_by == "stop", noted
