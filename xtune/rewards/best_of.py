"""Rejection sampling: many answers to each prompt, of which the best are kept to be trained on.

As Llama 2 did (Touvron et al., 2023, arXiv 2307.09288, section 3.2.3). What is written is an
ordinary file of dialogues, each with where it comes from:

    {"messages": [..., {"role": "assistant", "content": ...}],
     "reward": 1.0, "rewards": {"number": 1.0}, "sampled": {"by": ..., "of": 16, "seed": ...}}

Interrupted, the same command goes on where it was; see `xtune.generation.part_file`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xtune.data.prompts import PromptRow
from xtune.data.templates import build_template
from xtune.data.tool_calls import call_form
from xtune.engine.rollout.rewards import Rewards
from xtune.engine.rollout.sampling import seed_of
from xtune.generation.generate import answer_rows
from xtune.generation.model import ChatModel
from xtune.generation.part_file import PartFile
from xtune.generation.reply import message_with
from xtune.generation.sampled_answer import SampledAnswer, calls_in

__all__ = ["BestOf", "Sampled"]

_TOGETHER = 4  # prompts whose answers are written at once


@dataclass(frozen=True, slots=True)
class Sampled:
    """What has come of all prompts.

    Attributes:
        prompts: how many there are.
        kept: answers that were written.
        without: prompts of which no answer was good enough.
        mean: of the rewards of all answers; nan where none has one.
        best: mean of the best reward of each prompt.
        repeated: answers that were left out, since the same one to that prompt is kept.
        cut: good ones that were left out, since they have no end: they would teach to have none.
    """

    prompts: int
    kept: int
    without: int
    mean: float
    best: float
    repeated: int
    cut: int


@dataclass(slots=True)
class BestOf:
    """Samples and chooses.

    Attributes:
        chat: the model that answers.
        rewards: that judge.
        count: answers to each prompt.
        keep: of them, at most.
        floor: the least reward of an answer that is kept; None: any.
        temperature, max_new_tokens, seed: of the answers.
    """

    chat: ChatModel
    rewards: Rewards
    count: int
    keep: int = 1
    floor: float | None = None
    temperature: float = 1.0
    max_new_tokens: int = 512
    seed: int = 0

    def write(
        self,
        prompts: Sequence[PromptRow],
        out: Path,
        *,
        on_progress: Callable[[int, int], None] = lambda done, whole: None,
    ) -> Sampled:
        """Answer what has no answers yet, and write the best of all.

        Args:
            prompts: to answer.
            out: the file; at the end it is whole, and there is none before.
            on_progress: given how many prompts are done, and how many there are.

        Raises:
            UsageError: what is there belongs to other prompts or settings.
            DataError: a prompt lacks what a reward asks of it.
        """
        self.rewards.require(prompts)
        part = PartFile(out, {"prompts": len(prompts), "asked": self._digest(prompts)})
        left = [at for at in range(len(prompts)) if at not in part.there]
        with part:
            on_progress(len(part.there), len(prompts))
            for begin in range(0, len(left), _TOGETHER):
                some = left[begin : begin + _TOGETHER]
                for at, known in zip(some, self._answered(prompts, some), strict=True):
                    part.keep(at, known)
                on_progress(len(part.there), len(prompts))
        noted = [part.there[at] for at in range(len(prompts))]
        part.finish(row for one in noted for row in one["kept"])
        return _summary(noted)

    def _answered(
        self, prompts: Sequence[PromptRow], some: Sequence[int]
    ) -> Iterator[dict[str, Any]]:
        """What is noted of each prompt: its rewards, and the rows that are kept."""
        asked = [(at, number) for at in some for number in range(self.count)]
        seeds = [seed_of(self.seed, at, number) for at, number in asked]
        rows = answer_rows(
            self.chat.llm,
            self.chat.tokenizer,
            [prompts[at].ids for at, _ in asked],
            stop_words=self.chat.stop_words,
            batch_size=None,
            seeds=seeds,
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
        )
        has_tools = any(prompts[at].tools for at in some)
        form = call_form(build_template("auto", self.chat.tokenizer)) if has_tools else None
        answers = []
        for (at, _), row in zip(asked, rows, strict=True):
            said = row.answer
            own_form = form if prompts[at].tools else None
            answers.append(
                SampledAnswer(
                    prompts[at],
                    tuple(row.ids[len(row.prompt) :]),
                    said.text,
                    said.written,
                    said.ended_by == "stop",
                    calls_in(said.text, said.written, own_form),
                )
            )
        scores = self.rewards(answers)
        for number in range(len(some)):
            own = slice(number * self.count, (number + 1) * self.count)
            yield self._chosen(answers[own], scores[own].tolist(), seeds[own])

    def _chosen(
        self,
        answers: Sequence[SampledAnswer],
        scores: Sequence[Sequence[float]],
        seeds: Sequence[int],
    ) -> dict[str, Any]:
        totals = [self._total(each) for each in scores]
        known = [at for at, total in enumerate(totals) if not math.isnan(total)]
        good = [at for at in known if self.floor is None or totals[at] >= self.floor]
        order = sorted(good, key=lambda at: (-totals[at], len(answers[at].tokens), at))
        kept: list[dict[str, Any]] = []
        texts: set[str] = set()
        repeated = cut = 0
        for at in order:
            if not answers[at].ended:
                cut += 1
                continue
            if answers[at].text in texts:
                repeated += 1
                continue
            if len(kept) < self.keep:
                texts.add(answers[at].text)
                kept.append(self._row(answers[at], totals[at], scores[at], seeds[at]))
        told = {"totals": [totals[at] for at in known], "repeated": repeated, "cut": cut}
        return {**told, "kept": kept}

    def _total(self, scores: Sequence[float]) -> float:
        pairs = zip(scores, self.rewards.weights.tolist(), strict=True)
        known = [score * weight for score, weight in pairs if not math.isnan(score)]
        return sum(known) if known else math.nan

    def _row(
        self, answer: SampledAnswer, total: float, scores: Sequence[float], seed: int
    ) -> dict[str, Any]:
        calls = answer.calls if answer.prompt.tools else ()
        messages = [*answer.prompt.messages, message_with("" if calls else answer.text, calls)]
        each = zip(self.rewards.names, scores, strict=True)
        return {
            "messages": messages,
            **({"tools": list(answer.prompt.tools)} if answer.prompt.tools else {}),
            "reward": total,
            "rewards": {name: None if math.isnan(score) else score for name, score in each},
            "sampled": {
                "by": self.chat.name,
                "of": self.count,
                "temperature": self.temperature,
                "seed": seed,
                "from": answer.prompt.where,
            },
        }

    def _digest(self, prompts: Sequence[PromptRow]) -> str:
        settings = (self.count, self.keep, self.floor, self.temperature, self.max_new_tokens)
        said = [[row.ids for row in prompts], settings, self.seed, self.rewards.names]
        text = json.dumps([said, self.chat.name, self.rewards.weights.tolist()])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _summary(noted: Sequence[Mapping[str, Any]]) -> Sampled:
    totals = [total for one in noted for total in one["totals"]]
    best = [max(one["totals"]) for one in noted if one["totals"]]
    return Sampled(
        prompts=len(noted),
        kept=sum(len(one["kept"]) for one in noted),
        without=sum(not one["kept"] for one in noted),
        mean=sum(totals) / len(totals) if totals else math.nan,
        best=sum(best) / len(best) if best else math.nan,
        repeated=sum(one["repeated"] for one in noted),
        cut=sum(one["cut"] for one in noted),
    )
