"""`Scorer`: how likely continuations are under a model, the same by every way and in any order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from xtune.engine.memory_check import is_out_of_memory
from xtune.errors import ModelError
from xtune.eval.requests import LikelihoodRequest
from xtune.eval.scoring.budget import budget_of, require_room, smaller
from xtune.eval.scoring.layout import Row, Text, rows_of, texts_of
from xtune.eval.scoring.passes import Way, hidden_states, mode_of
from xtune.eval.scoring.scores import chunks_of, score_row
from xtune.eval.scoring.ways import Allowed, allowed_way
from xtune.eval.tasks.base import Likelihood
from xtune.models import base_of
from xtune.models.head import Head
from xtune.parallel.in_step import agree
from xtune.parallel.world import World

__all__ = ["OnResult", "Scorer", "score_likelihoods"]

logger = logging.getLogger(__name__)

OnResult = Callable[[int, Likelihood], None]

_FILLER = LikelihoodRequest((0,), (0,))


class Scorer:
    """Scores requests, and remembers what it has found out about the model and the memory.

    Attributes:
        allowed: how the model is run; found by the first call of `score`.
        token_budget: tokens of a row; halved whenever memory has run out.
        tokens: that went through the model so far.

    Args:
        llm: a causal language model, with a PEFT adapter or without; it comes back from each call
            as it was: training mode, attention, random state.
        token_budget: None: by the memory that is free.
        way: 'auto': what the model allows, 'tree' before 'cache' before 'single'.
        together: all processes of a run score with a model that they share, each its own requests,
            and make equally many passes, within `all_or_none`. Memory that runs out ends it then,
            on all of them.
    """

    def __init__(
        self,
        llm: Any,
        *,
        token_budget: int | None = None,
        way: Way | str = "auto",
        together: bool = False,
    ) -> None:
        self.llm = llm
        self.allowed: Allowed | None = None
        self.token_budget = budget_of(llm) if token_budget is None else token_budget
        self.tokens = 0
        self._way = way
        self._world = _own_world() if together else World()

    def score(
        self, requests: Sequence[LikelihoodRequest], on_result: OnResult | None = None
    ) -> list[Likelihood]:
        """Return how likely each continuation is, in the order of the requests.

        Args:
            requests: in any order.
            on_result: called with a request's index and its likelihood as soon as it is there, row
                by row; what it was given stays true should the rest be interrupted.

        Raises:
            ModelError: the way that was asked for is wrong for this model; a token that the
                model's embedding has no row for.
        """
        self._require_rows(requests)
        if self.allowed is None:
            if self._world.size > 1:
                agree()
            self.allowed = allowed_way(self.llm, self._way)
        found: dict[int, Likelihood] = {}
        for way, alone, texts in self._parts(requests):
            with mode_of(self.llm, way):
                for row, likelihoods in self._pass(way, alone, texts, requests):
                    for asked, likelihood in zip(row.asked, likelihoods, strict=True):
                        found[asked.request] = likelihood
                        if on_result is not None:
                            on_result(asked.request, likelihood)
        return [found[index] for index in range(len(requests))]

    def _parts(
        self, requests: Sequence[LikelihoodRequest]
    ) -> Iterator[tuple[Way, bool, list[Text]]]:
        """Ways, with the texts that go by them; each process has the same ways."""
        assert self.allowed is not None
        longest, way = self.allowed.longest, self.allowed.way
        long = [
            index
            for index, request in enumerate(requests)
            if longest is not None
            and len(request.context) + len(request.continuation) - 1 > longest
        ]
        others = sorted(set(range(len(requests))) - set(long))
        yield way, False, texts_of(requests, others)
        if longest is not None:
            # each quite alone: what follows a text may change what it is
            yield "single", True, texts_of(requests, long)

    def _pass(
        self,
        way: Way,
        alone: bool,
        texts: Sequence[Text],
        requests: Sequence[LikelihoodRequest],
    ) -> Iterator[tuple[Row, list[Likelihood]]]:
        """Run texts row by row, in shorter ones when memory has run out."""

        def rows(texts: Sequence[Text]) -> list[Row]:
            budget = 0 if alone else self.token_budget
            return list(rows_of(texts, requests, budget=budget, alone=way == "single"))

        left = rows(texts)
        if self._world.size > 1:
            yield from self._in_step(way, left)
            return
        while left:
            row = left[0]
            try:
                likelihoods = self._run(way, row)
            except Exception as error:
                if not is_out_of_memory(error) or len(row.texts) == 1:
                    raise
                likelihoods = None
            if likelihoods is None:  # outside of `except`, which holds on to what was computed
                self.token_budget = smaller(self.token_budget, len(row.ids))
                logger.warning(
                    "memory has run out on a row of %d tokens; rows now have %d at most",
                    len(row.ids),
                    self.token_budget,
                )
                if torch.cuda.is_initialized():
                    torch.cuda.empty_cache()
                left = rows([text for row in left for text in row.texts])
                continue
            yield left.pop(0), likelihoods

    def _in_step(self, way: Way, rows: list[Row]) -> Iterator[tuple[Row, list[Likelihood]]]:
        """As many passes and calls of the head as the process that makes the most of them."""
        filler = next(rows_of(texts_of([_FILLER], [0]), [_FILLER], budget=1))
        own = [(self._passes(way, row), chunks_of(row, self._vocabulary)) for row in rows]
        agree()
        everyone: list[list[tuple[int, int]]] = self._world.gather(own)
        for number in range(max(map(len, everyone))):
            shapes = [ranks[number] for ranks in everyone if number < len(ranks)]
            passes, calls = (max(column) for column in zip(*shapes, strict=True))
            row = rows[number] if number < len(rows) else filler
            require_room(self.llm, len(row.ids))
            agree()
            likelihoods = self._run(way, row, passes=passes, calls=calls)
            if number < len(rows):
                yield row, likelihoods

    def _run(
        self, way: Way, row: Row, *, passes: int | None = None, calls: int | None = None
    ) -> list[Likelihood]:
        hidden = hidden_states(self.llm, row, way, passes=passes)
        self.tokens += len(row.ids)
        head = Head.of(base_of(self.llm))
        return score_row(head, hidden, row, vocabulary=self._vocabulary, calls=calls)

    def _passes(self, way: Way, row: Row) -> int:
        return len(list(row.segments())) if way == "cache" else 1

    @property
    def _vocabulary(self) -> int:
        return int(base_of(self.llm).config.get_text_config().vocab_size)

    def _require_rows(self, requests: Sequence[LikelihoodRequest]) -> None:
        """A tokenizer may have ids that the embedding has no row for."""
        largest = max((max(r.context + r.continuation) for r in requests), default=0)
        if largest >= self._vocabulary:
            raise ModelError(
                f"a prompt has the token id {largest}, but the model's embedding has "
                f"{self._vocabulary} rows. Take the tokenizer that the model was trained with, or "
                "give the model the token: xtune expand-vocab"
            )


def score_likelihoods(
    llm: Any,
    requests: Sequence[LikelihoodRequest],
    *,
    token_budget: int | None = None,
    way: Way | str = "auto",
    on_result: OnResult | None = None,
    together: bool = False,
) -> list[Likelihood]:
    """Score requests once; see `Scorer`, which is for several calls with one model.

    Args:
        llm: as for `Scorer`.
        requests: in any order.
        token_budget: as for `Scorer`.
        way: as for `Scorer`.
        on_result: as for `Scorer.score`.
        together: as for `Scorer`.

    Raises:
        ModelError: as `Scorer.score`.
    """
    scorer = Scorer(llm, token_budget=token_budget, way=way, together=together)
    return scorer.score(requests, on_result)


def _own_world() -> World:
    """The processes that torch knows of."""
    from torch import distributed

    if not distributed.is_available() or not distributed.is_initialized():
        return World()
    return World(distributed.get_rank(), distributed.get_world_size())
