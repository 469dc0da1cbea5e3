"""From what tasks ask to what a model answers: rendered, looked up, computed, kept.

    items --task.ask--> Ask --Renderer--> requests --store?--> passes of the model --> Response

Requests are sorted, and dealt to the processes in blocks that are the same however many processes
there are. A block of which an answer is missing is computed whole. So one process, several, and
those that go on where others were killed make the same passes, and get the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from xtune.errors import DataError, TemplateError, UsageError, XtuneError
from xtune.eval.prompts import Renderer
from xtune.eval.requests import LikelihoodRequest
from xtune.eval.scoring import Scorer
from xtune.eval.scoring.budget import budget_of
from xtune.eval.store import Store, request_key
from xtune.eval.subject import Subject
from xtune.eval.tasks.base import (
    Ask,
    Choices,
    Form,
    Generation,
    Item,
    Likelihood,
    Likelihoods,
    Prompt,
    Response,
    Rolling,
    RollingLikelihood,
    Task,
    Text,
    Texts,
)
from xtune.eval.tasks.own_way import OwnWay
from xtune.generation.continuous import generate_texts
from xtune.generation.requests import GenerationRequest
from xtune.parallel.in_step import NotHeard, OtherFailed, all_or_none, same_on_all
from xtune.parallel.world import ALONE, World

__all__ = ["Asker", "form_for"]

_BLOCK = 256  # requests: an unfinished block is computed again
_NONE = slice(0, 0)
Request = LikelihoodRequest | GenerationRequest
_Block = list[tuple[str, Request]]


class Asker:
    """Asks one model, in one form.

    Args:
        subject: who.
        form: 'completion' or 'chat'; a task that knows the other one alone is asked in that.
        store: of its answers.
        world: the processes that ask together, each a part.
        on_progress: called with a task's label, the answers that there are and will be.
    """

    def __init__(
        self,
        subject: Subject,
        form: Form,
        store: Store,
        *,
        world: World = ALONE,
        on_progress: Callable[[str, int, int], None] = lambda task, done, total: None,
    ) -> None:
        self.subject, self.form, self.store, self.world = subject, form, store, world
        self._on_progress = on_progress
        self._renderers: dict[tuple[Form, str], Renderer] = {}
        self.scorer = Scorer(
            subject.llm, token_budget=self._token_budget(), together=subject.together
        )

    def _token_budget(self) -> int:
        """Tokens of a pass, on which numbers depend in their last places.

        The first evaluation of a model in a folder decides, by the memory that was free then:
        whoever goes on, on however many processes, makes the passes that it would have made.
        """
        if self.subject.token_budget is not None:
            return self.subject.token_budget
        device = self.subject.llm.get_input_embeddings().weight.device.type
        key = f"token budget {device} {self.subject.identity}"
        known = self.store.get(key)
        budgets = self.world.gather((known, budget_of(self.subject.llm)))
        recorded = next((budget for budget, _ in budgets if budget is not None), None)
        budget = min(free for _, free in budgets) if recorded is None else int(recorded)
        self.store.put(key, budget)
        return budget

    def answers(self, label: str, task: Task, items: Sequence[Item]) -> list[Response]:
        """Return what the model answers to each item, on every process.

        Args:
            label: the task's.
            task: whose items they are.
            items: some or all of the task's.

        Raises:
            DataError: a prompt cannot be made; TemplateError: the chat template refuses it.
        """
        if isinstance(task, OwnWay):
            return self._own_way(label, task, items)
        form = form_for(task, self.form)
        requests = same_on_all(self.world, lambda: self._prompts(label, task, items, form))
        self._compute(label, [one for each in requests for one in each])
        return [
            self._response(each, task, form, item)
            for each, item in zip(requests, items, strict=True)
        ]

    def _prompts(
        self, label: str, task: Task, items: Sequence[Item], form: Form
    ) -> list[list[Request]]:
        requests = []
        for item in items:
            try:
                requests.append(self._requests(task.ask(item, form), form))
            except DataError as error:
                raise type(error)(f"{label}, {item.where or item.id}: {error}") from error
        return requests

    def first_prompt(self, task: Task, item: Item) -> str:
        """Return exactly what the model is given for an item, with the candidates it scores.

        Args:
            task: that is asked.
            item: one of its items, often the first.
        """
        form = form_for(task, self.form)
        ask = task.ask(item, form)
        if isinstance(ask, Rolling):
            return ask.text[:2000]
        if isinstance(ask, Generation):
            return self._renderer(form, ask).text(ask.prompt)
        renderer = self._renderer(form, ask)
        texts = {
            renderer.text(one.prompt): [
                c.continuation for c in ask.candidates if c.prompt == one.prompt
            ]
            for one in ask.candidates
        }
        return "\n\n".join(f"{text}⟦{'¦'.join(options)}⟧" for text, options in texts.items())

    def settings(self, task: Task, item: Item) -> dict[str, Any]:
        """Return what of the form decides a task's numbers, as JSON values.

        Args:
            task: that is asked.
            item: one of its items, often the first.
        """
        form = form_for(task, self.form)
        return self._renderer(form, task.ask(item, form)).settings()

    def _renderer(self, form: Form, ask: Ask) -> Renderer:
        # A dialogue brings the system text that it is about
        is_dialogue = any(prompt.messages for prompt in _prompts_of(ask))
        system = "" if form == "completion" or is_dialogue else self.subject.system
        if (form, system) not in self._renderers:
            try:
                self._renderers[form, system] = Renderer(
                    self.subject.tokenizer,
                    form=form,
                    system=system,
                    max_length=self.subject.context,
                )
            except TemplateError as error:
                raise UsageError(f"{self.subject.name}: {error}") from error
        return self._renderers[form, system]

    def _requests(self, ask: Ask, form: Form) -> list[Request]:
        renderer = self._renderer(form, ask)
        if isinstance(ask, Choices):
            return list(renderer.choices(ask))
        if isinstance(ask, Rolling):
            return list(renderer.rolling(ask.text))
        one = renderer.generation(ask)
        return [replace(one, seed=sample) for sample in range(ask.samples)]

    def _key(self, request: Request) -> str:
        return request_key(self.subject.identity, request)

    def _compute(self, label: str, requests: Sequence[Request]) -> None:
        """Fill the store with an answer to each request."""
        unique = {self._key(request): request for request in requests}
        done = sum(key in self.store for key in unique)

        def answer_own(mine: dict[str, Any]) -> None:
            def keep(block: _Block, at: int, answer: Any) -> None:
                nonlocal done
                key = block[at][0]
                done += key not in self.store
                mine[key] = asdict(answer)
                self.store.put(key, mine[key])
                self._on_progress(label, done, len(unique))

            for kind in (LikelihoodRequest, GenerationRequest):
                of_kind = {key: one for key, one in unique.items() if isinstance(one, kind)}
                ours = self._dealt(of_kind, mine)
                if self.subject.together:  # as many calls on each process, of its own requests
                    ours = [[pair for block in ours for pair in block]]
                for block in ours:
                    self._pass(kind, [request for _, request in block], partial(keep, block))

        self._share(answer_own)

    def _dealt(self, unique: dict[str, Request], mine: dict[str, Any]) -> list[_Block]:
        """This process's blocks in which an answer is missing; what it has of others is `mine`."""
        ordered = sorted(unique.items(), key=lambda pair: _order(pair[1]))
        blocks = [ordered[at : at + _BLOCK] for at in range(0, len(ordered), _BLOCK)]
        missing = []
        for block in blocks[self.world.rank :: self.world.size]:
            known = {key: self.store[key] for key, _ in block if key in self.store}
            if len(known) == len(block):
                mine |= known
            else:
                missing.append(block)
        return missing

    def _share(self, answer_own: Callable[[dict[str, Any]], None]) -> None:
        """Let each process answer its part, and give all of them all answers: folders may differ.

        What fails on one process is raised on all, so that none waits for it.
        """
        mine: dict[str, Any] = {}
        error: Exception | None = None
        try:
            if self.subject.together:
                all_or_none(partial(answer_own, mine))
            else:
                answer_own(mine)
        except OtherFailed:
            pass  # it says itself why
        except NotHeard:
            raise
        except Exception as caught:
            error = caught
        answered = self.world.gather((mine, None if error is None else repr(error)))
        if error is not None:
            raise error
        for rank, (theirs, failed) in enumerate(answered):
            if failed is not None:
                raise XtuneError(f"process {rank} could not answer its part: {failed}")
            self.store.add(theirs)

    def _pass(self, kind: type, requests: list[Any], keep: Callable[[int, Any], None]) -> None:
        """Let the model answer requests of one kind."""
        if kind is LikelihoodRequest:
            self.scorer.score(requests, keep)
            return
        generate_texts(
            self.subject.llm,
            self.subject.tokenizer,
            requests,
            stop_words=self.subject.stop_words,
            on_result=keep,
            together=self.subject.together,
        )

    def _response(self, requests: list[Request], task: Task, form: Form, item: Item) -> Response:
        stored = [self.store[self._key(request)] for request in requests]
        cut = max((request.cut for request in requests), default=0)
        ask = task.ask(item, form)
        if isinstance(ask, Generation):
            answers = [one for one in requests if isinstance(one, GenerationRequest)]
            most = min(one.max_new_tokens for one in answers)
            room = most if most < ask.max_new_tokens else None
            return Texts(tuple(Text(**one) for one in stored), cut, room)
        parts = tuple(Likelihood(**one) for one in stored)
        if isinstance(ask, Choices):
            return Likelihoods(parts, cut)
        return RollingLikelihood(sum(p.log_prob for p in parts), sum(p.tokens for p in parts))

    def _own_way(self, label: str, task: OwnWay, items: Sequence[Item]) -> list[Response]:
        """Ask blocks of a task that holds whole dialogues; the answers are kept likewise."""
        identity = f"{self.subject.identity} {task.name} {sorted(task.settings().items())}"
        keys = [
            request_key(f"{identity} {task.identity(item)}", GenerationRequest((0,)))
            for item in items
        ]
        done = sum(key in self.store for key in keys)

        def answer_own(mine: dict[str, Any]) -> None:
            nonlocal done
            starts = range(0, len(items), task.batch_size)
            own = list(starts[self.world.rank :: self.world.size])
            # as many calls on each process that shares a model, those without items for the others
            calls = -(-len(starts) // self.world.size) if self.subject.together else len(own)
            for number in range(calls):
                block = slice(own[number], own[number] + task.batch_size) if own[number:] else _NONE
                part = keys[block]
                missing = not all(key in self.store for key in part)
                if missing or self.subject.together:
                    asked = items[block] if missing else []
                    responses = task.respond(self.subject, asked)
                    for key, response in zip(part if missing else (), responses, strict=True):
                        done += key not in self.store
                        self.store.put(key, asdict(response))
                    self._on_progress(label, done, len(keys))
                mine |= {key: self.store[key] for key in part}

        self._share(answer_own)
        stored = [self.store[key] for key in keys]
        return [
            Texts(tuple(Text(**one) for one in each["samples"]), each["cut"]) for each in stored
        ]


def form_for(task: Task, wanted: Form) -> Form:
    """Return the form in which a task is asked: the one wanted, or the only one it knows.

    Args:
        task: that is asked.
        wanted: by the user; a task that does not know it keeps its usual one.
    """
    return wanted if wanted in task.forms else task.forms[0]


def _prompts_of(ask: Ask) -> list[Prompt]:
    if isinstance(ask, Choices):
        return [candidate.prompt for candidate in ask.candidates]
    return [ask.prompt] if isinstance(ask, Generation) else []


def _order(request: Request) -> tuple[Any, ...]:
    """Those that share a beginning next to each other; answers: short prompts first."""
    if isinstance(request, LikelihoodRequest):
        return (request.context, request.continuation)
    return (len(request.prompt), request.prompt, request.seed)
