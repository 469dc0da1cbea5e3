"""Everything that a judge is to be asked: each pair of files, each shared question, both orders."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from xtune.eval.judge.answers import AnswerSet, Item, shared_questions
from xtune.eval.judge.forms import imitates_verdict
from xtune.eval.judge.islands import require_connected
from xtune.eval.judge.prompts import JudgePrompt, choose_prompt
from xtune.eval.statistics import evenly_spaced

__all__ = ["Plan", "Request", "plan_requests", "request_for"]


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a judge.

    Attributes:
        question: the item's id.
        kind: general, math or coding.
        category: as the file of answers names it.
        shown: the models whose answers it shows, in this order; one, or two.
        items: their answers, in the same order.
        prompt: that it is asked with.
        messages: what is sent.
        imitating: the models of `shown` whose answers look like a verdict.
    """

    question: str
    kind: str
    category: str
    shown: tuple[str, ...]
    items: tuple[Item, ...]
    prompt: JudgePrompt
    messages: list[dict[str, str]]
    imitating: tuple[str, ...]

    @property
    def prompt_hash(self) -> str:
        """A hash of the messages and the verdict's form."""
        whole = json.dumps([self.messages, self.prompt.form], ensure_ascii=False)
        return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def key(self, judge: str) -> str:
        """What a verdict is found again by.

        Args:
            judge: the judge's identity: its name, and its weights where they are ours.
        """
        return hashlib.sha256(f"{judge}\0{self.prompt_hash}".encode()).hexdigest()[:32]


@dataclass(slots=True)
class Plan:
    """All requests, and what was left out.

    Attributes:
        requests: of a pair the two orders stand next to each other.
        pairs: of models, with the number of questions that each shares.
        mismatched: questions that a pair of files does not share, and why, by pair.
        partial: how many questions there would be without `rows`; 0 if it leaves out none.
    """

    requests: list[Request] = field(default_factory=list)
    pairs: dict[tuple[str, str], int] = field(default_factory=dict)
    mismatched: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    partial: int = 0


def plan_requests(
    sets: Sequence[AnswerSet], prompts: Sequence[JudgePrompt], *, rows: int | None = None
) -> Plan:
    """Return what to ask.

    Args:
        sets: files of answers.
        prompts: of one judgement; with ratings each answer is judged alone.
        rows: this many questions of each file or pair, spread evenly; None for all.

    Raises:
        UsageError: two files share no question, so that models fall apart into islands; or no
            prompt fits a row.
    """
    plan = Plan()
    alone = prompts[0].judgement == "rating"
    chosen: dict[str, dict[str, Item]] = {each.name: {} for each in sets}
    for one, other in itertools.combinations(sets, 2):
        shared = shared_questions(one, other)
        pair = (one.name, other.name)
        plan.mismatched[pair] = shared.mismatched
        places = evenly_spaced(len(shared.first), rows)
        if len(places) < len(shared.first):
            plan.partial += len(shared.first)
        if places:
            plan.pairs[pair] = len(places)
        for place in places:
            first, second = shared.first[place], shared.second[place]
            chosen[one.name].setdefault(first.id, first)
            chosen[other.name].setdefault(second.id, second)
            if not alone:
                plan.requests += [
                    request_for(prompts, pair, (first, second)),
                    request_for(prompts, pair[::-1], (second, first)),
                ]
    if len(sets) == 1:
        items = list(sets[0].items.values())
        places = evenly_spaced(len(items), rows)
        chosen[sets[0].name] = {items[place].id: items[place] for place in places}
        plan.partial = len(items) if len(places) < len(items) else 0
    else:
        require_connected([each.name for each in sets], plan.pairs, "share no question")
    if alone:
        for name, items_of in chosen.items():
            plan.requests += [request_for(prompts, (name,), (i,)) for i in items_of.values()]
    return plan


def request_for(
    prompts: Sequence[JudgePrompt], shown: tuple[str, ...], items: tuple[Item, ...]
) -> Request:
    """Return one request.

    Args:
        prompts: to choose from.
        shown: the models, in the order in which the judge sees their answers.
        items: their answers, of one id, category and reference.

    Raises:
        UsageError: no prompt fits.
    """
    prompt = choose_prompt(prompts, items[0])
    return Request(
        question=items[0].id,
        kind=items[0].kind,
        category=items[0].category,
        shown=shown,
        items=items,
        prompt=prompt,
        messages=prompt.fill(*items),
        imitating=tuple(
            name
            for name, item in zip(shown, items, strict=True)
            if imitates_verdict(prompt.form, item.answer)
        ),
    )
