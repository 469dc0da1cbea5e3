"""POST /xtune/prompt: what a model reads of a dialogue, token by token, and what training learns.

    {model, messages, tools}, ending with a request   the prompt, as chat and /tokenize have it
                             ending with an answer    the samples that training makes of it

The second runs the data pipeline of a training on the dialogue as its one row, so that what is
shown as trained is trained.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from xtune.data.map_fns.openai import openai_map_fn
from xtune.data.map_fns.tools import tools_of
from xtune.data.pipeline import NothingUsable, Pipeline
from xtune.data.shown import shown_sample
from xtune.data.templates import build_template
from xtune.errors import DataError
from xtune.serve.api.chat_completions import dialogue_of, messages_of, without_empty_answers
from xtune.serve.api.context import context_of, in_thread
from xtune.serve.api.fields import Fields
from xtune.serve.served import ServedModel
from xtune.structures import IGNORE_INDEX, Sample

__all__ = ["prompt"]


async def prompt(request: Request) -> Response:
    """Show a dialogue as the model reads it, or as training does."""
    context = context_of(request)
    fields = Fields(await context.body(request))
    model = context.model(fields.take_any("model"))
    messages = fields.require("messages", "a list")
    tools = fields.take("tools", "a list", [])
    fields.refuse_rest()
    return JSONResponse(await in_thread(lambda: _shown(model, messages, tools_of(tools))))


def _shown(
    model: ServedModel, raw: Sequence[object], tools: list[dict[str, Any]]
) -> dict[str, Any]:
    is_whole = messages_of(raw)[-1]["role"] == "assistant"
    left_out: list[str] = []
    unread: list[str] = []
    if is_whole:
        samples, left_out, unread = _trained(model, raw, tools)
    else:
        ids = np.array(model.render(dialogue_of(raw, model), tools), dtype=np.int32)
        samples = [Sample(ids, np.full(len(ids), IGNORE_INDEX, dtype=np.int32))]
    with model.front() as tokenizer:
        shown = [shown_sample(n, sample, tokenizer)["tokens"] for n, sample in enumerate(samples)]
    counts = [
        {"tokens": len(sample), "trained": int((sample.labels != IGNORE_INDEX).sum())}
        for sample in samples
    ]
    return {
        "model": model.id,
        "ends_with": "answer" if is_whole else "request",
        "documents": [
            {"tokens": tokens, "count": count} for tokens, count in zip(shown, counts, strict=True)
        ],
        "left_out": left_out,
        "unread": unread,
    }


def _trained(
    model: ServedModel, raw: Sequence[object], tools: list[dict[str, Any]]
) -> tuple[list[Sample], list[str], list[str]]:
    """The samples of a whole dialogue, what the template does not write, and what is not read."""
    row = {"messages": without_empty_answers(raw), "tools": tools}
    with model.front() as tokenizer:
        pipeline = Pipeline(
            _OneRow(row),
            openai_map_fn,
            build_template("auto", tokenizer),
            tokenizer,
            system=model.chat.system,
            max_length=sys.maxsize,  # what a training cuts depends on its max_length
            max_rows=None,
        )
        try:
            samples = [sample for _, _, made in pipeline.by_row() for sample in made]
        except NothingUsable:
            why = "; ".join(pipeline.report.dropped)
            raise DataError(f"a training makes nothing of this dialogue: {why}") from None
    return samples, sorted(pipeline.report.unwritten), sorted(pipeline.report.unread)


class _OneRow:
    """A source of one row."""

    def __init__(self, row: dict[str, Any]) -> None:
        self._row = row

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        yield "the dialogue", self._row

    def fingerprint(self) -> str:
        return ""
