"""However an answer is cut into pieces, the client gets the same text, reasoning and calls."""

from __future__ import annotations

import json
import random

import pytest

from tests.serve.conftest import CALL
from xtune.data.tool_calls import reasoning_in
from xtune.serve.api.choice import Choice
from xtune.serve.engine.questions import End, Piece


def read(model, text, seed, *, ended_by="stop", **settings):
    """Content, reasoning, calls, the reason of the end; `text` comes in pieces that `seed` cuts."""
    dice = random.Random(seed)
    choice = Choice(model, **{"with_tools": True, **settings})
    deltas, at = [], 0
    while at < len(text):
        size = dice.randint(1, 9)
        deltas += choice.push(Piece(0, 300, text[at : at + size]))
        at += size
    deltas += choice.end(End(0, "", ended_by, 9, 0, text))
    return (
        "".join(delta.content for delta in deltas),
        "".join(delta.reasoning for delta in deltas),
        [json.loads(delta.call["function"]["arguments"]) for delta in deltas if delta.call],
        choice.finish_reason,
    )


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Four. ", ("Four. ", "", [], "stop")),
        (f"So:\n\n{CALL}", ("So:", "", [{"value": 301}], "tool_calls")),
        (f"{CALL}\n{CALL}", ("", "", [{"value": 301}] * 2, "tool_calls")),
        ("2 < 3, and [4] {5}  is 6", ("2 < 3, and [4] {5}  is 6", "", [], "stop")),
        ("See <tool_call>{oh", ("See <tool_call>{oh", "", [], "stop")),
        ("<think>\n2 and 2.\n</think>\n\nFour.", ("Four.", "2 and 2.", [], "stop")),
        (f"<think>Hm </thin k</think>{CALL}", ("", "Hm </thin k", [{"value": 301}], "tool_calls")),
        ("", ("", "", [], "stop")),
    ],
)
def test_pieces_of_any_size_give_the_same(talker, text, expected, seed):
    assert read(talker.models["base"], text, seed) == expected


@pytest.mark.parametrize("seed", range(6))
def test_reasoning_is_what_chat_takes_for_it(talker, seed):
    model = talker.models["base"]
    for text in ("<think> a\nb </think>\n\n c", "<think></think>Yes", "No <think>a</think> b"):
        content, reasoning, _, _ = read(model, text, seed, with_tools=False)
        if text.startswith("<think>"):
            assert (reasoning, content) == reasoning_in(text)
        else:  # what a model says in passing is text
            assert (reasoning, content) == ("", text)
    opened = read(model, "a b\n</think>\n\nc", seed, with_tools=False, opens_thinking=True)
    assert opened[:2] == ("c", "a b")
    cut = read(model, "<think>a b", seed, with_tools=False, ended_by="length")
    assert cut == ("", "a b", [], "length")


def test_a_completion_is_not_parted(talker):
    model = talker.models["base"]
    text = f"<think>a</think> {CALL}"
    assert read(model, text, 1, with_tools=False, is_chat=False) == (text, "", [], "stop")
