from __future__ import annotations

import json
from collections import Counter

import pytest

from xtune.data.report import DataReport


def report(**changed) -> DataReport:
    given = {
        "rows": 10,
        "kept": 8,
        "dropped": Counter({"empty answer": 2}),
        "samples": 9,
        "tokens": 1500,
        "trained_tokens": 600,
        "answers": 9,
        "ended_answers": 9,
        "dialogues": 8,
        "template": "chatml",
        "stop_words": ("<|im_end|>",),
        "packs": 2,
        "pack_length": 1000,
    }
    return DataReport(**{**given, **changed})


def test_reads_back_what_it_wrote_as_json():
    assert DataReport.from_dict(json.loads(json.dumps(report().to_dict()))) == report()


def test_text_that_no_token_ends_is_no_failure():
    assert report(dialogues=0, stop_words=(), ended_answers=0).failures == []


def test_lines():
    assert report().lines() == [
        "rows      10 read, 8 kept",
        "dropped   2: empty answer",
        "samples   9",
        "packs     2 of 1,000 tokens, 75.0 % full",
        "tokens    1,500, of which trained 600 (40.0 %)",
        "answers   9, ended by '<|im_end|>' every time",
    ]


@pytest.mark.parametrize(
    ("changed", "failure"),
    [
        ({"trained_tokens": 0}, "no token is trained"),
        ({"stop_words": ()}, "writes no end-of-turn token"),
        ({"ended_answers": 0}, "'<|im_end|>' is never trained"),
    ],
)
def test_failures(changed, failure):
    broken = report(**changed)
    assert failure in broken.failures[0]
    assert failure in broken.lines()[-1]


def test_nothing_is_wrong_when_some_answers_were_cut():
    assert report(ended_answers=1).failures == []


UNTRAINED = {
    "unread": Counter({"score": 3, "id": 8}),
    "unwritten": Counter({"reasoning": 2}),
    "default_system": "You are a Tin Man. " * 9,
    "default_system_rows": 8,
    "empty_system_rows": 0,
    "tool_templates": ("deepseek_v3",),
}


def test_what_is_not_trained_is_read_back_and_added_up():
    full = report(**UNTRAINED)
    assert DataReport.from_dict(json.loads(json.dumps(full.to_dict()))) == full
    whole = DataReport.sum_of([full, full])
    assert whole.unread == {"score": 6, "id": 16}
    assert whole.unwritten == {"reasoning": 4}
    assert (whole.default_system, whole.default_system_rows) == (full.default_system, 16)


def test_what_is_lost_of_tools_names_the_templates_that_write_them():
    lost = report(unwritten=Counter({"the list of tools": 2}), tool_templates=("a", "b"))
    assert lost.lines()[-1] == (
        "unwritten 2: the list of tools, which template 'chatml' leaves out; "
        "prompt_template = a | b writes tools"
    )


def test_what_is_not_trained_has_a_line_for_each():
    assert report(**UNTRAINED).lines()[-3:] == [
        "unread    score (3 rows): the map_fn does not read it",
        "unwritten 2: reasoning, which template 'chatml' leaves out",
        "note      template 'chatml' begins 8 dialogues without a system text with its own, 'You "
        "are a Tin Man. You are a Tin Man. You are a Tin Man. You are a Tin Man. You…': "
        "SYSTEM='…' puts yours there, a row's own empty system message none",
    ]
