"""Each reward on answers whose worth is plain."""

from __future__ import annotations

import json

import pytest

from xtune.data.prompts import PromptRow
from xtune.errors import ConfigError, DataError
from xtune.generation.sampled_answer import SampledAnswer, calls_in
from xtune.registry import REWARDS, build


def answer(text, expected=None, *, ended=True, tokens=3, **row):
    message = None if expected is None else {"role": "assistant", "content": expected}
    asked = ({"role": "user", "content": "?"},)
    prompt = PromptRow((1, 2), asked, expected=message, row=row, where="rows.jsonl:7")
    return SampledAnswer(prompt, (5,) * tokens, text, text, ended, calls_in(text, text, None))


def of(cfg, *answers):
    return build(REWARDS, cfg)(answers)


def test_exact_answer():
    assert of(
        {"type": "exact_answer"}, answer(" 4\n", "4"), answer("four", "4"), answer("YES", "yes")
    ) == [1.0, 0.0, 0.0]
    assert of({"type": "exact_answer", "ignore_case": True}, answer("YES", "yes")) == [1.0]


@pytest.mark.parametrize(
    ("text", "worth"),
    [
        ("She has 3 + 4 = 7.\n#### 7", 1.0),
        ("So it is $1,007.00, no, \\boxed{7}", 1.0),
        ("7 of them. I am 100 % sure", 0.0),
        ("#### 8\nthat is 7 + 1", 0.0),
        ("seven", 0.0),
        ("", 0.0),
    ],
)
def test_number(text, worth):
    assert of({"type": "number"}, answer(text, "3 + 4 = <<3+4=7>>7\n#### 7")) == [worth]


def test_the_number_may_stand_in_a_column():
    assert of({"type": "number", "column": "sum"}, answer("It is 12.0", sum=12)) == [1.0]


def test_format():
    cfg = {"type": "format", "pattern": r"<think>.+</think>\s*\d+"}
    assert of(cfg, answer("<think>\nwell\n</think>\n12 "), answer("12")) == [1.0, 0.0]


def test_length_falls_over_the_buffer():
    cfg = {"type": "length", "longest": 10, "buffer": 4}
    given = [answer("", tokens=count) for count in (6, 7, 9, 10, 30)]
    assert of(cfg, *given) == [0.0, -0.25, -0.75, -1.0, -1.0]


CALL = (
    '{"name": "convert", "arguments": {"value": 2, "from_unit": "kilometre", "to_unit": "metre"}}'
)


def test_tool_call_compares_and_executes_nothing():
    other = CALL.replace("2", "3")
    cfg = {"type": "tool_call", "partial": 0.2}
    assert of(
        cfg, answer(CALL, CALL), answer(other, CALL), answer("No.", CALL), answer("Hi", "Hello")
    ) == [1.0, 0.2, 0.0, 1.0]
    assert of(cfg, answer(CALL, "Hello")) == [0.0]


def test_tool_result_calls_the_tool_and_takes_what_means_the_same():
    short = CALL.replace("kilometre", "km").replace('"metre"', '"m"')
    wrong = CALL.replace("2", "3")
    broken = CALL.replace('"metre"', '"second"')
    weather = json.dumps({"name": "weather", "arguments": {"city": "Oslo"}})
    cfg = {"type": "tool_result", "tools": {"convert": {}}, "called": 0.3}
    assert of(
        cfg,
        answer(CALL, CALL),
        answer(short, CALL),
        answer(wrong, CALL),
        answer(broken, CALL),
        answer("2000 m", CALL),
        answer(weather, weather),
        answer("Hello", "Hi"),
        answer(CALL, "Hi"),
    ) == [1.0, 1.0, 0.3, 0.0, 0.0, None, 1.0, 0.0]


def test_code_tests_runs_programs_against_the_rows_tests():
    test = ["assert double(2) == 4", "assert double(-1) == -2"]
    right = "```python\ndef double(x):\n    return 2 * x\n```"
    wrong = right.replace("2 * x", "x + 2")
    cfg = {"type": "code_tests", "run_code": True}
    found = of(cfg, answer(right, test=test), answer(wrong, test=test), answer("2x", test=test))
    assert found == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("cfg", "said"),
    [
        ({"type": "code_tests"}, "run_code=True"),
        ({"type": "format", "pattern": "("}, "is no regular expression"),
        ({"type": "length", "longest": 4, "buffer": 5}, "no more than the longest answer"),
    ],
)
def test_what_cannot_be_is_refused(cfg, said):
    with pytest.raises(ConfigError, match=said):
        build(REWARDS, cfg)


@pytest.mark.parametrize(
    ("cfg", "given", "said"),
    [
        ({"type": "exact_answer"}, answer(""), "1 of 1 rows have none, the first is rows.jsonl:7"),
        ({"type": "number"}, answer("", "many"), "has no number to compare with in 'many'"),
        ({"type": "number", "column": "sum"}, answer("", total=3), "rows.jsonl:7 has 'total'"),
        ({"type": "code_tests", "run_code": True}, answer(""), "reads the column 'test'"),
        ({"type": "tool_call"}, answer(""), "name a map_fn that makes dialogues"),
    ],
)
def test_rows_that_lack_what_is_asked_are_named(cfg, given, said):
    with pytest.raises(DataError, match=said):
        build(REWARDS, cfg).require([given.prompt])
