"""How judged answers are shown: side by side where there is room, and with what is said of them."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from xtune.cli.judged_answers import show_judged
from xtune.data.shown import numbers_of


def document(sample, said, *, side=None, **numbers):
    tokens = [{"text": "Asked. ", "trained": False, "weight": 1.0}]
    tokens += [{"text": f"{word} ", "trained": True, "weight": 1.0} for word in said.split()]
    grouped = {} if side is None else {"side": side}
    return {"sample": sample, **grouped, "numbers": numbers, "tokens": tokens}


def shown(documents, *, width=100, terminal=True):
    out = io.StringIO()
    show_judged(Console(file=out, width=width, force_terminal=terminal, no_color=True), documents)
    return [line.rstrip() for line in out.getvalue().splitlines()]


PAIR = [
    document(4, "It is two.", side=0, score=2.5, soft_label=0.75, safe=1),
    document(5, "Three.", side=1, score=1, soft_label=0.75, safe=-1),
]


def plain(lines):
    return [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in lines]


def test_a_pair_stands_side_by_side_with_its_prompt_once():
    lines = plain(shown(PAIR))
    told = "a pair with margin 1.5 and soft label 0.75"
    assert lines[0] == f"── samples 4 and 5, {told}: prompt of 1 tokens"
    assert lines[1] == "Asked."
    titles, said = lines[2:]
    assert titles.split("  ")[0] == "chosen, safe: 3 tokens, 3 trained"
    assert titles.endswith("rejected, unsafe: 1 tokens, 1 trained")
    assert said.startswith("It is two.")
    assert said.index("Three.") == titles.index("rejected")


@pytest.mark.parametrize(("width", "terminal"), [(60, True), (200, False)])
def test_below_each_other_where_it_is_narrow_or_a_file(width, terminal):
    lines = plain(shown(PAIR, width=width, terminal=terminal))[-4:]
    assert [line.strip("« »") for line in lines] == [
        "chosen, safe: 3 tokens, 3 trained",
        "It is two.",
        "rejected, unsafe: 1 tokens, 1 trained",
        "Three.",
    ]


def test_a_ranking_and_a_judged_answer():
    ranking = [document(n, f"{n}.", side=n, score=4 - n, rank=max(0, n - 1)) for n in range(3)]
    lines = plain(shown(ranking, terminal=False))
    assert lines[0] == "── samples 0 to 2, a ranking of 3 answers: prompt of 1 tokens"
    assert lines[2].strip() == "answer 1, rank 0, score 4: 1 tokens, 1 trained"
    assert lines[6].strip() == "answer 3, rank 1, score 2: 1 tokens, 1 trained"
    lines = plain(shown([document(7, "No.", desirable=0)]))
    assert lines[0] == "── sample 7, a judged answer: prompt of 1 tokens"
    assert lines[2].strip() == "bad: 1 tokens, 1 trained"


def test_numbers_that_say_nothing_are_not_shown():
    said = {"side": 1, "rank": -1, "score": 0.0, "soft_label": 1, "safe": -1, "desirable": -1}
    assert numbers_of(said) == {"safe": -1}
    assert numbers_of({"desirable": 0}) == {"desirable": 0}
