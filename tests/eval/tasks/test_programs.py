"""HumanEval and MBPP: prompts written out, programs run, pass@k."""

from __future__ import annotations

import gzip
import json

import pytest

from tests.eval.tasks.files import lines, one_text, write
from xtune.errors import DataError, UsageError
from xtune.eval.tasks.base import Text, Texts
from xtune.eval.tasks.humaneval import HumanEval
from xtune.eval.tasks.mbpp import MBPP, MBPPSanitized

PROMPT = (
    "from typing import List\n\n\ndef double(xs: List[int]) -> List[int]:\n"
    '    """Double each.\n    >>> double([1])\n    [2]\n    """\n'
)
ROW = {
    "task_id": "HumanEval/0",
    "prompt": PROMPT,
    "canonical_solution": "    return [2 * x for x in xs]\n",
    "test": "\n\nMETADATA = {}\n\n\ndef check(candidate):\n    assert candidate([1]) == [2]\n",
    "entry_point": "double",
}


def said(*texts):
    return Texts(tuple(Text(text, "stop", 5) for text in texts))


@pytest.fixture
def humaneval(tmp_path):
    path = tmp_path / "human-eval/data/HumanEval.jsonl.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress((json.dumps(ROW) + "\n").encode()))
    return lambda **settings: HumanEval(data_path=str(tmp_path), run_code=True, **settings)


def test_humaneval_in_both_forms(humaneval):
    task = humaneval()
    (item,) = task.items()
    completion, chat = (task.ask(item, form) for form in ("completion", "chat"))
    assert one_text(completion.prompt) == PROMPT
    assert completion.stop == ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
    assert (completion.samples, completion.temperature, completion.max_new_tokens) == (1, 0, 1024)
    assert one_text(chat.prompt) == (
        "Write a solution to the following problem and make sure that it passes the tests:\n"
        f"```python\n{PROMPT}\n```\n"
    )
    assert chat.stop == ()


@pytest.mark.parametrize(
    ("answer", "passes"),
    [
        (ROW["canonical_solution"], 1),
        ("    pass\n", 0),
        ("    return [x for x in xs]\n", 0),
        # a chat model's whole function, which needs the prompt's import
        ("Sure:\n```python\ndef double(xs: List[int]):\n    return [x + x for x in xs]\n```", 1),
        # and one that gives the body alone
        ("```python\n    return [x + x for x in xs]\n```\nIt doubles.", 1),
        ("<think>\nHm.</think>```python\ndef double(xs):\n    return [2 * x for x in xs]\n```", 1),
        ("    print('passed')\n    import os\n    os._exit(0)\n", 0),
        ("    return xs\ndouble = None\nraise SystemExit(0)\n", 0),
        ("", 0),
    ],
)
def test_humanevals_programs(humaneval, answer, passes):
    task = humaneval()
    score = task.score(task.items()[0], said(answer))
    assert score.metrics == {"pass@1": passes}
    assert (score.got == "passed") == bool(passes)
    assert score.unanswered == (answer == "")


def test_pass_at_k_of_five_samples(humaneval):
    task = humaneval(samples=5, k=[1, 2])
    (item,) = task.items()
    ask = task.ask(item, "completion")
    assert (ask.samples, ask.temperature, ask.top_p) == (5, 0.8, 0.95)
    right, wrong = ROW["canonical_solution"], "    return xs\n"
    score = task.score(item, said(right, wrong, wrong, right, wrong))
    assert score.metrics == {"pass@1": 0.4, "pass@2": 0.7}
    assert score.notes["passed"] == [True, False, False, True, False]
    assert score.notes["said"].endswith("AssertionError")


def test_programs_that_nobody_allowed_and_settings_that_do_not_fit(tmp_path, humaneval):
    with pytest.raises(UsageError, match=r"humaneval runs the programs .* --run-code"):
        HumanEval(data_path=str(tmp_path))
    with pytest.raises(UsageError, match="pass@10 needs at least 10 samples a problem, and there"):
        humaneval(samples=5, k=[10])
    with pytest.raises(UsageError, match="5 samples at temperature 0 are one and the same"):
        humaneval(samples=5, temperature=0)
    assert humaneval(samples=5).ask(humaneval().items()[0], "chat").temperature == 0.2


def mbpp_row(number, **more):
    row = {
        "task_id": number,
        "text": f"Write a function that adds {number}.",
        "code": f"def add(x):\r\n  return x + {number}",
        "test_list": [f"assert add({x}) == {x + number}" for x in range(3)],
        "test_setup_code": "",
        "challenge_test_list": [],
    }
    return row | more


@pytest.fixture
def mbpp(tmp_path):
    setup = {"test_setup_code": "BASE = 100", "test_list": ["assert add(BASE) == 112"] * 3}
    rows = [mbpp_row(n) for n in (1, 2, 3, 4, 11)] + [mbpp_row(12, **setup), mbpp_row(511)]
    lines(tmp_path / "mbpp/mbpp.jsonl", rows)
    return lambda **settings: MBPP(data_path=str(tmp_path), run_code=True, **settings)


def test_mbpp_is_asked_with_problems_2_3_and_4(mbpp):
    task = mbpp()
    assert [item.id for item in task.items()] == ["11", "12"]
    item = task.items()[0]

    def problem(number):
        tests = "\n".join(f"assert add({x}) == {x + number}" for x in range(3))
        return (
            "You are an expert Python programmer, and here is your task: Write a function that "
            f"adds {number}. Your code should pass these tests:\n\n{tests}\n[BEGIN]\n"
        )

    shots = "".join(f"{problem(n)}def add(x):\r\n  return x + {n}\n[DONE]\n\n" for n in (2, 3, 4))
    ask = task.ask(item, "completion")
    assert one_text(ask.prompt) == shots + problem(11)
    assert ask.stop == ("[DONE]",)
    assert [i.id for i in mbpp(split="validation").items()] == ["511"]


@pytest.mark.parametrize(
    ("answer", "passes"),
    [
        ("def add(x):\r\n  return x + 11\r\n", [1, 0]),
        ("def add(x):\n  return x + 12\n", [0, 1]),
        ("[BEGIN]\ndef add(x):\n  return x + 11\n", [1, 0]),
        ("Here:\n```python\ndef add(x):\n    return x + 12\n```\nDone.", [0, 1]),
        ("import sys\nsys.exit(0)\n", [0, 0]),
    ],
)
def test_mbpps_programs(mbpp, answer, passes):
    task = mbpp(shots=0)
    scores = [task.score(item, said(answer)) for item in task.items()]
    assert [score.metrics["pass@1"] for score in scores] == passes


def test_mbpp_sanitized_has_its_imports_and_wording(tmp_path):
    row = {
        "source_file": "x.ipynb",
        "task_id": 20,
        "prompt": "Round up.",
        "code": "import math\ndef up(x):\n  return math.ceil(x)",
        "test_imports": ["import math"],
        "test_list": ["assert up(1.5) == math.ceil(1.5)"],
    }
    write(tmp_path / "mbpp/sanitized-mbpp.json", json.dumps([row, row | {"task_id": 5}]))
    task = MBPPSanitized(data_path=str(tmp_path), run_code=True, shots=0)
    (item,) = task.items()
    assert "your task: Round up. Your code" in one_text(task.ask(item, "completion").prompt)
    assert task.score(item, said("def up(x):\n  return int(x) + 1")).metrics == {"pass@1": 1}
    with pytest.raises(UsageError, match="needs the problems 2, 3 and 4"):
        MBPPSanitized(data_path=str(tmp_path), run_code=True).items()
    write(tmp_path / "mbpp/sanitized-mbpp.json", json.dumps([row | {"test_list": []}]))
    with pytest.raises(DataError, match="sanitized-mbpp.json row 1: test_list is a list of assert"):
        MBPPSanitized(data_path=str(tmp_path), run_code=True, shots=0).items()
