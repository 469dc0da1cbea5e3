"""Tasks for tests, as a user writes them: one of two letters, one of words, one that breaks."""

from __future__ import annotations

import os

import torch

from xtune.eval.tasks.base import (
    Candidate,
    Choices,
    Generation,
    Item,
    Prompt,
    Rolling,
    Score,
    Shot,
    Task,
    Text,
    Texts,
)
from xtune.eval.tasks.own_way import OwnWay
from xtune.generation.generate import answer_prompts
from xtune.models import base_of


class Letters(Task):
    """Which letter follows?"""

    name = "letters"
    scoring = "option_letter"
    ability = "exam"

    def __init__(self, *, count: int = 8, shots: int = 1) -> None:
        self.count, self.shots = count, shots

    def items(self):
        shown = (Shot("Letter 0?\nAnswer:", "A"),) * self.shots
        return [
            Item(
                id=str(at),
                question=f"Letter {at}?",
                gold=at % 2,
                options=("first", "second"),
                group="even" if at % 2 == 0 else "odd",
                where=f"letters:{at}",
                shots=shown,
            )
            for at in range(self.count)
        ]

    def ask(self, item, form):
        prompt = Prompt(f"{item.question}\nAnswer:", "Letters.\n\n", item.shots)
        return Choices(tuple(Candidate(prompt, letter) for letter in "AB"))

    def score(self, item, response):
        values = [each.log_prob for each in response.candidates]
        best = values.index(max(values))
        return Score(
            {"acc": float(best == item.gold)},
            got="AB"[best],
            expected="AB"[item.gold],
            margin=abs(values[0] - values[1]),
        )


class Words(Task):
    """What does the model say?"""

    name = "words"
    scoring = "generation"
    headline = "tokens"

    def items(self):
        return [Item(str(at), f"Say {at}", "x") for at in range(5)]

    def ask(self, item, form):
        return Generation(Prompt(item.question), max_new_tokens=4, samples=2, temperature=0.7)

    def score(self, item, response):
        tokens = sum(each.tokens for each in response.samples) / len(response.samples)
        return Score({"tokens": tokens}, got=response.samples[0].text, expected="x")


class Talks(Words):
    """Wants more words than a small model takes, and stops soon."""

    name = "talks"

    def items(self):
        return super().items()[:1]

    def ask(self, item, form):
        return Generation(Prompt(item.question), stop=tuple("abcdefghi "), max_new_tokens=100_000)


class Likely(Task):
    """How likely is a text?"""

    name = "likely"
    scoring = "perplexity"
    headline = "nats"
    lower_is_better = True
    forms = ("completion",)

    def items(self):
        return [Item("0", "the quick brown fox " * 4, None)]

    def ask(self, item, form):
        return Rolling(item.question)

    def score(self, item, response):
        return Score({}, got="", expected="", notes={"nats": -response.log_prob / response.tokens})

    def overall(self, items, scores):
        return {"nats": scores[0].notes["nats"]}


class Breaks(Letters):
    """Runs out of memory when it is scored."""

    name = "breaks"

    def score(self, item, response):
        raise torch.OutOfMemoryError("says the test")


class Counted(OwnWay):
    """Asks the model itself, and says how many items each process has asked."""

    name = "counted"
    scoring = "exact_match"
    batch_size = 2

    def items(self):
        return [Item(str(at), f"Say {at}", "x") for at in range(7)]

    def identity(self, item):
        return item.id

    def ask(self, item, form):
        return Generation(Prompt(item.question))

    def respond(self, subject, items):
        asked = [[int(item.id) + 5] for item in items]
        answers = answer_prompts(
            subject.llm, subject.tokenizer, asked, max_new_tokens=2, together=subject.together
        )
        told = [f"{os.environ.get('RANK', '0')} {answer.tokens}" for answer in answers]
        return [Texts((Text(each, "stop", 2),)) for each in told]

    def score(self, item, response):
        return Score({"acc": 1.0}, got=response.samples[0].text, expected="x")


class FailsOnOne(Counted):
    """Fails on the second process alone, between two passes."""

    name = "fails_on_one"

    def respond(self, subject, items):
        if os.environ.get("RANK") == "1":
            raise ValueError("the disk is full")
        return super().respond(subject, items)


class FailsAmid(Counted):
    """Fails in the middle of a pass, on all processes."""

    name = "fails_amid"

    def respond(self, subject, items):
        def no_room(*given):
            raise torch.OutOfMemoryError("says the test")

        layer = base_of(subject.llm).base_model.layers[1]
        hook = layer.mlp.register_forward_pre_hook(no_room)
        try:
            return super().respond(subject, items)
        finally:
            hook.remove()
