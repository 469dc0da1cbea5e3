"""llama.cpp within this process, for GGUF files: quick on a processor (the extra `llamacpp`).

Our template, tokenizer, ends and limits; its kernels and its sampling. Prompts go in as token ids
and tokens come out, so that text, stops and calls are read as with our own engine. Its dice are
llama.cpp's: a seed gives the same answer here, and another one than `xtune chat` does.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from xtune.errors import ModelError, UsageError
from xtune.generation.room import context_length
from xtune.generation.row import Noted
from xtune.serve.engine.desk import AskedRows
from xtune.serve.engine.pooled import PooledEngine
from xtune.serve.engine.questions import Event, Question, Refused
from xtune.serve.engine.rows import ClientRow
from xtune.serve.served import Served

__all__ = ["LlamaCppEngine"]

logger = logging.getLogger(__name__)

_MOST_CONTEXT = 8192  # tokens, of all slots together; llama.cpp takes the memory at once


class LlamaCppEngine(PooledEngine):
    """Answers with a GGUF file.

    Args:
        served: its tokenizer and template; no weights are needed.
        file: the model.
        slots: rows at once.
        waiting: rows that may wait for a slot; more are refused.

    Raises:
        UsageError: the extra is not installed.
        ModelError: llama.cpp does not load the file.
    """

    def __init__(self, served: Served, file: Path, *, slots: int = 8, waiting: int = 256) -> None:
        super().__init__(slots, waiting, "llama.cpp")
        try:
            import xllamacpp
        except ImportError:
            raise UsageError(
                "--engine llamacpp needs xllamacpp: pip install 'xtune[llamacpp]'"
            ) from None
        (model,) = served.models.values()
        self._model = model
        own = context_length(model.chat.llm)
        self._context = min(own or _MOST_CONTEXT, _MOST_CONTEXT)
        params = xllamacpp.CommonParams()
        params.model.path = str(file)
        params.n_parallel = slots
        params.n_ctx = self._context
        params.kv_unified = True  # a slot may take what others leave
        params.warmup = False
        params.verbosity = 0
        params.fit_params = False
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise ModelError(f"llama.cpp does not load {file.name}: {error}") from error

    def ask(self, questions: Sequence[Question], on_event: Callable[[Event], None]) -> AskedRows:
        """Ask some questions; see `Engine`.

        Args: as `Engine.ask`.
        """
        for question in questions:
            if question.penalty_alpha is not None or question.new_guide is not None:
                raise Refused(
                    "llama.cpp's engine has no contrastive search, and no form is enforced by it: "
                    "leave decoder, response_format and tool_choice out, or serve without --engine"
                )

            if question.reads or not question.writes:
                raise Refused(
                    "llama.cpp's engine does not tell how likely a prompt's tokens were: leave "
                    "logprobs with echo, and max_tokens: 0, out, or serve without --engine"
                )

        def new_row(index: int, question: Question) -> ClientRow:
            room = max(1, self._context - len(question.prompt))
            return ClientRow(index, question, self._model, room, on_event)

        return self._take_in(questions, new_row)

    def room(self, model: str) -> int:
        """How many tokens a prompt and its answer may have together.

        Args:
            model: the id of a served model.
        """
        return self._context

    def embed(self, model: str, prompts: Sequence[tuple[int, ...]]) -> Future[Any]:
        """Refuse: this engine has none.

        Args: as `Engine.embed`.
        """
        raise Refused("llama.cpp's engine gives no embeddings: serve without --engine")

    def _answer(self, row: ClientRow) -> None:
        failed: list[str] = []
        try:
            if not row.done:
                take = functools.partial(self._take, row, failed)
                self._server.handle_completions(_asked(row), take)
            if failed:
                raise ModelError(failed[0])
            if not row.done:  # it has met an end token, which is not among what it gives
                row.push(self._model.stop_ids[0])
        except Exception as error:
            logger.exception("llama.cpp has failed")
            self._desk.break_off([row], f"llama.cpp: {str(error)[:200]}")
            return
        self._desk.end([row])

    def _take(self, row: ClientRow, failed: list[str], chunk: Any) -> bool:
        """Take what llama.cpp has written; return whether it shall stop."""
        if "error" in chunk:  # to be raised where llama.cpp has returned
            failed.append(str(chunk["error"].get("message", "no reason given")))
            return True
        if self._desk.closed:
            return True
        for choice in chunk.get("choices", ()):
            for token in (choice.get("logprobs") or {}).get("content") or ():
                if row.done:
                    return True
                if row.alternatives is not None:
                    others = [(each["id"], each["logprob"]) for each in token["top_logprobs"]]
                    noted = Noted(token["id"], token["logprob"], tuple(others[: row.alternatives]))
                    row.noted.append(noted)
                row.push(token["id"])
        row.known = ((chunk.get("usage") or {}).get("prompt_tokens_details") or {}).get(
            "cached_tokens", row.known or 0
        )
        return row.done


def _asked(row: ClientRow) -> dict[str, Any]:
    settings = row.settings
    return {
        "prompt": list(row.prompt),
        "n_predict": settings.max_new_tokens,
        "stream": True,
        "n_probs": max(1, row.alternatives or 0),  # with them come the ids of the tokens
        "cache_prompt": True,
        "seed": (settings.seed or 0) % 2**32,
        "temperature": settings.temperature,
        "top_k": settings.top_k,
        "top_p": settings.top_p,
        "min_p": 0.0,
        "repeat_penalty": settings.repetition_penalty,
        "repeat_last_n": len(row.prompt) + settings.max_new_tokens,  # all that was said
        "presence_penalty": settings.presence_penalty,
        "frequency_penalty": settings.frequency_penalty,
        "logit_bias": [[token, more] for token, more in row.bias.items()],
    }
