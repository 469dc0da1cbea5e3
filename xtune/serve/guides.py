"""Answers that must be JSON, or a call of a tool: grammars by llguidance, the extra `json`.

A grammar says after each token which may come next; what a model writes is then of the form that
was asked for, if it comes to its end.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xtune.data.templates import build_template
from xtune.data.tool_calls import Call, written_call
from xtune.errors import UsageError
from xtune.serve.served import ServedModel

__all__ = ["call_guide", "json_guide"]

_ARGUMENTS = {"xtune_probe": 1}
_ANY_OBJECT = {"type": "object"}


def json_guide(model: ServedModel, schema: Mapping[str, Any] | None) -> Callable[[], _Guide]:
    """Return what makes a guide of answers that are JSON.

    Args:
        model: that writes them.
        schema: that they follow; None: any object.

    Raises:
        UsageError: the extra is not installed, or this is no schema that can be followed.
    """
    guidance = _llguidance()
    try:
        text = guidance.LLMatcher.grammar_from_json_schema(
            json.dumps(_ANY_OBJECT if schema is None else schema)
        )
    except ValueError as error:
        raise UsageError(f"this schema cannot be followed: {error}") from None
    return _maker(model, text, "this schema cannot be followed")


def call_guide(
    model: ServedModel, tools: Sequence[Mapping[str, Any]], name: str | None
) -> Callable[[], _Guide]:
    """Return what makes a guide of answers that are one call of a tool, in the model's own form.

    Args:
        model: that calls.
        tools: in OpenAI's form.
        name: of the tool; None: any of them.

    Raises:
        UsageError: the extra is not installed; there is no such tool; or the model's form of calls
            has no place where the arguments are JSON.
    """
    functions = {
        function["name"]: function for tool in tools for function in [tool.get("function", tool)]
    }
    if name is not None and name not in functions:
        raise UsageError(f"there is no tool {name!r}; there are: {', '.join(functions)}")
    template = build_template("auto", model.tokenizer)
    choices = []
    for each in functions if name is None else [name]:
        written = written_call(template, Call(each, dict(_ARGUMENTS))) or ""
        before, found, after = written.partition(json.dumps(_ARGUMENTS))
        if not found:
            raise UsageError("the model's form of calls has no arguments in JSON")
        schema = json.dumps(functions[each].get("parameters") or _ANY_OBJECT)
        pieces = [_literal(model, before), f"%json {schema}", _literal(model, after)]
        choices.append(" ".join(filter(None, pieces)))
    lark = "start: " + "\n     | ".join(choices)
    grammar = _llguidance().LLMatcher.grammar_from_lark(lark)
    return _maker(model, grammar, "the parameters of a tool cannot be followed")


class _Guide:
    """Which tokens may come next.

    Args:
        matcher: of the grammar.
    """

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def allowed(self, logits: Tensor) -> Tensor:
        """Return logits [V] in which what may not come next is -inf."""
        bits = np.unpackbits(
            np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8), bitorder="little"
        )
        may = torch.zeros(len(logits), dtype=torch.bool)
        count = min(len(bits), len(may))
        may[:count] = torch.from_numpy(bits[:count].astype(bool))
        return logits.masked_fill(~may.to(logits.device), -torch.inf)

    def push(self, token: int) -> None:
        """Go on behind a token."""
        self._matcher.consume_token(token)


def _maker(model: ServedModel, grammar: str, problem: str) -> Callable[[], _Guide]:
    guidance = _llguidance()
    tokenizer = model.grammar_tokenizer
    said = guidance.LLMatcher.validate_grammar(grammar, tokenizer)
    if said and not said.startswith("WARNING"):
        raise UsageError(f"{problem}: {said.splitlines()[0][:300]}")
    return lambda: _Guide(guidance.LLMatcher(tokenizer, grammar, log_level=0))


def _literal(model: ServedModel, text: str) -> str:
    """Text as a grammar has it: tokens that are always one by their id, the rest as it stands."""
    tokenizer = model.tokenizer
    added = {str(token): id for id, token in tokenizer.added_tokens_decoder.items()}
    pieces = []
    while text:
        at, found = min(
            ((text.find(token), token) for token in added if token in text), default=(-1, "")
        )
        before = text if at < 0 else text[:at]
        if before:
            pieces.append(json.dumps(before, ensure_ascii=False))
        if at < 0:
            break
        pieces.append(f"<[{added[found]}]>")
        text = text[at + len(found) :]
    return " ".join(pieces)


def _llguidance() -> Any:
    try:
        return importlib.import_module("llguidance")
    except ModuleNotFoundError:
        raise UsageError(
            "the package llguidance, which enforces a form, is not installed: "
            "pip install 'xtune[json]'"
        ) from None
