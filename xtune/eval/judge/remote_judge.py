"""The model behind an OpenAI-compatible URL as a judge: many requests at once, and patience."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from xtune.agents.remote import RemoteModel, ServerError
from xtune.errors import ModelError, UsageError
from xtune.eval.judge.base import Said
from xtune.generation.settings import GenerationSettings

__all__ = ["RemoteJudge"]

_TRIES = 8  # of one request, before a run is given up
_LONGEST_WAIT = 60.0  # seconds
_PASSING = {408, 409, 425, 429, *range(500, 600)}  # what may be otherwise a little later
_OF_ALL = {401, 402, 403, 404}  # what the next request will meet too


class RemoteJudge:
    """A server's model, asked several things at once; it waits where the server says so.

    Args:
        url: up to and without '/chat/completions'. The key is in $OPENAI_API_KEY.
        model: its name there; '' for the only one that the server has.
        max_new_tokens: of a verdict.
        concurrency: requests at once.
        wait: sleeps for so many seconds.

    Raises:
        UsageError: no model was named and the server has not just one, or the URL has a key in it.
        ModelError: it cannot be reached, or refuses.
    """

    def __init__(
        self,
        url: str,
        model: str = "",
        *,
        max_new_tokens: int = 1024,
        concurrency: int = 8,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        if "@" in url or "?" in url:
            raise UsageError("--judge URL has '@' or '?' in it: give a key by OPENAI_API_KEY alone")
        self._url = url
        self._settings = GenerationSettings(max_new_tokens=max_new_tokens, seed=0)
        first = RemoteModel(url, model, self._settings)
        self._model = first.model
        self._concurrency = concurrency
        self._wait = wait
        self.name = self.identity = first.name

    def ask(
        self,
        dialogues: Sequence[list[dict[str, str]]],
        on_answer: Callable[[int, Said], None],
        *,
        temperature: float,
        seed: int,
    ) -> None:
        """Ask all of them.

        Args: as `Judge.ask`.
        """
        settings = replace(self._settings, temperature=temperature, seed=seed)
        model = RemoteModel(self._url, self._model, settings)
        todo = iter(list(enumerate(dialogues)))
        taking, stop = threading.Lock(), threading.Event()
        done: queue.Queue[tuple[int, Said | BaseException]] = queue.Queue()

        def work() -> None:
            while not stop.is_set():
                with taking:
                    place, messages = next(todo, (-1, []))
                if place < 0:
                    return
                try:
                    done.put((place, self._answer(model, messages, stop)))
                except BaseException as error:
                    done.put((place, error))
                    return

        # Daemons: a process that is interrupted does not wait for what servers are still writing.
        for _ in range(min(self._concurrency, len(dialogues))):
            threading.Thread(target=work, daemon=True).start()
        try:
            for _ in dialogues:
                place, said = done.get()
                if isinstance(said, BaseException):
                    raise said
                on_answer(place, said)
        finally:
            stop.set()

    def _answer(
        self, model: RemoteModel, messages: list[dict[str, str]], stop: threading.Event
    ) -> Said:
        """Ask once, and again where it may help."""
        asked: list[Any] = list(messages)
        for attempt in range(_TRIES):
            try:
                reply = model.answer(asked, (), lambda text: None)
                return Said(reply.message["content"] or "", cut=reply.ended_by == "length")
            except ModelError as error:  # no ServerError: what came was torn or no completion
                status = error.status if isinstance(error, ServerError) else None
                if status is not None and status not in _PASSING | _OF_ALL:
                    return Said(refused=str(error))
                if status in _OF_ALL or attempt == _TRIES - 1 or stop.is_set():
                    raise
                asks = error.retry_after if isinstance(error, ServerError) else None
                self._wait(_seconds(attempt, asks))
        raise AssertionError("the last try returns or raises")


def _seconds(attempt: int, retry_after: float | None) -> float:
    """How long to wait: what the server says, or 1, 2, 4 ... s, spread so that threads part."""
    if retry_after is not None:
        return min(retry_after, _LONGEST_WAIT)
    return min(2.0**attempt, _LONGEST_WAIT) * random.uniform(0.75, 1.25)
