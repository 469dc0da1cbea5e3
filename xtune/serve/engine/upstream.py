"""Another server answers: vLLM, SGLang, LMDeploy, in an environment of its own.

In front of it stand our template, names, keys and limits: what is sent are token ids as training
renders them, to `/v1/completions`, and what comes back is read as our own answers are. So a model
answers there as it was trained, whatever template that server would put around it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Literal

from xtune.agents.remote import events_of, open_server, served_models
from xtune.errors import UsageError, XtuneError
from xtune.generation.room import context_length
from xtune.serve.engine.desk import AskedRows
from xtune.serve.engine.pooled import PooledEngine
from xtune.serve.engine.questions import End, Event, Piece, Question, Refused
from xtune.serve.served import Served, ServedModel

__all__ = ["UpstreamEngine"]

logger = logging.getLogger(__name__)

_NO_TOKEN = -1  # text comes without ids


class UpstreamEngine(PooledEngine):
    """Answers with what another server has.

    Args:
        served: names, tokenizers and templates; no weights are needed.
        url: up to and without '/completions': 'http://127.0.0.1:8001/v1'.
        key: sent as a bearer token; '' for none.
        slots: questions at once.
        waiting: that may wait; more are refused.

    Raises:
        UsageError: it has not all models.
        ServerError: it cannot be reached.
    """

    def __init__(
        self, served: Served, url: str, key: str, *, slots: int = 64, waiting: int = 256
    ) -> None:
        super().__init__(slots, waiting, "upstream")
        self._served = served
        self._url = url.rstrip("/")
        self._key = key
        there = served_models(self._url, key)
        if missing := [name for name in served.models if name not in there]:
            raise UsageError(
                f"{url} has no model {missing[0]!r}; it has: {', '.join(there)}. Start it with our "
                "names, as in: vllm serve MODEL --served-model-name NAME --lora-modules NAME=DIR"
            )

    def ask(self, questions: Sequence[Question], on_event: Callable[[Event], None]) -> AskedRows:
        """Ask some questions; see `Engine`.

        Args: as `Engine.ask`.
        """
        for question in questions:
            if question.penalty_alpha is not None or question.new_guide is not None:
                raise Refused(
                    "contrastive search and enforced forms are not passed on to another server: "
                    "leave decoder, response_format and tool_choice out"
                )
            if question.alternatives is not None:
                raise Refused("logprobs are not passed on to another server: leave them out")
            if not question.writes:
                raise Refused("max_tokens: 0 is not passed on to another server: ask for one")

        def new_row(index: int, question: Question) -> _Passed:
            return _Passed(index, question, self._served.models[question.model], on_event)

        return self._take_in(questions, new_row)

    def room(self, model: str) -> int | None:
        """How many tokens a prompt and its answer may have together.

        Args:
            model: the id of a served model.
        """
        return context_length(self._served.models[model].chat.llm)

    def embed(self, model: str, prompts: Sequence[tuple[int, ...]]) -> Future[list[list[float]]]:
        """Have the other server's embeddings.

        Args: as `Engine.embed`.
        """

        def work() -> list[list[float]]:
            body = {"model": model, "input": [list(prompt) for prompt in prompts]}
            with open_server(self._url, "/embeddings", body, self._key) as response:
                return [each["embedding"] for each in json.loads(response.read())["data"]]

        return self._pool.submit(work)

    def _answer(self, row: _Passed) -> None:
        try:
            if not row.done:
                with open_server(self._url, "/completions", row.body, self._key) as response:
                    for event in events_of(response, self._url):
                        row.take(event)
                        if row.done or self._desk.closed:  # closing the connection frees it there
                            break
        except XtuneError as error:
            logger.warning("%s", error)
            self._desk.break_off([row], str(error))
            return
        except Exception:
            logger.exception("%s has failed", self._url)
            self._desk.break_off([row], "the other server's answer cannot be read")
            return
        self._desk.end([row])


class _Passed:
    """A question that is passed on; what the desk and its client see of it is as of a row."""

    def __init__(
        self,
        index: int,
        question: Question,
        model: ServedModel,
        on_event: Callable[[Event], None],
    ) -> None:
        self.index = index
        self.prompt = question.prompt
        self.asked_at = time.monotonic()
        self.on_event = on_event
        self.done = False
        settings = question.settings
        room = context_length(model.chat.llm)
        most = settings.max_new_tokens
        self.body: dict[str, Any] = {
            "model": question.model,
            "prompt": list(question.prompt),
            "max_tokens": most if room is None else min(most, room - len(question.prompt)),
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "presence_penalty": settings.presence_penalty,
            "frequency_penalty": settings.frequency_penalty,
            "seed": (settings.seed or 0) % 2**31,
            "stop": [*model.stop_words, *question.stop],
            "stop_token_ids": [*model.stop_ids, *question.stop_ids],  # all three servers take it
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        # not OpenAI's: only where they change something
        if settings.top_k:
            self.body["top_k"] = settings.top_k
        if settings.repetition_penalty != 1:
            self.body["repetition_penalty"] = settings.repetition_penalty
        if question.bias:
            self.body["logit_bias"] = {str(token): more for token, more in question.bias}
        self._text = ""
        self._tokens = self._known = 0
        self._ended_by: Literal["stop", "length", "interrupt"] = "stop"

    def take(self, event: dict[str, Any]) -> None:
        """Take a part of the answer."""
        for choice in event.get("choices") or ():
            if piece := choice.get("text"):
                self._text += piece
                self.on_event(Piece(self.index, _NO_TOKEN, piece))
            if choice.get("finish_reason") == "length":
                self._ended_by = "length"
        if usage := event.get("usage"):
            self._tokens = int(usage.get("completion_tokens") or 0)
            self._known = int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)

    def leave(self) -> None:
        """Nobody waits for it any more."""
        self.done, self._ended_by = True, "interrupt"

    def end(self) -> End:
        """Return what the client is told at the end."""
        self.done = True
        return End(self.index, "", self._ended_by, self._tokens, self._known, self._text)
