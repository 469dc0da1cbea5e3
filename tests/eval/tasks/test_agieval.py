"""AGIEval: rows of its 21 files, the authors' prompts written out, single, several and formulas."""

from __future__ import annotations

import csv

import pytest

from tests.eval.tasks.files import answered, continuations, lines
from xtune.errors import DataError, UsageError
from xtune.eval.tasks.agieval import AGIEval
from xtune.eval.tasks.base import Choices, Generation, Shot, Text, Texts

LOGIC = {
    "passage": "All swans are white. ",
    "question": "What follows?",
    "options": ["(A)one", "(B)two", "(C)three", "(D)four", "(E)five"],
    "label": "E",
    "answer": None,
    "other": None,
}
LAW = {
    "passage": None,
    "question": "下列哪些正确?",
    "options": ["(A)甲", "(B)乙", "(C)丙", "(D)丁"],
    "label": ["A", "C"],
    "answer": None,
    "other": None,
}


def agieval(folder, name, *rows):
    lines(folder / f"AGIEval/data/v1/{name}.jsonl", rows)
    return AGIEval(data_path=str(folder), subjects=[name])


def said(text):
    return Texts((Text(text, "stop", 5),))


def test_one_right_option_in_english_with_its_passage(tmp_path):
    task = agieval(tmp_path, "lsat-lr", LOGIC)
    (item,) = task.items()
    ask = task.ask(item, "completion")
    assert isinstance(ask, Choices)
    assert ask.candidates[0].prompt.question == (
        "All swans are white. Q: What follows? Answer Choices: "
        "(A)one (B)two (C)three (D)four (E)five\nA: Among A through E, the answer is"
    )
    assert continuations(task, item) == [" (A)", " (B)", " (C)", " (D)", " (E)"]
    assert (item.id, item.gold, item.group) == ("lsat-lr/0", 4, "lsat-lr")
    assert task.score(item, answered([-3, -3, -3, -3, -1])).metrics == {"acc": 1.0}


def test_several_right_options_in_chinese(tmp_path):
    task = agieval(tmp_path, "jec-qa-kd", LAW)
    (item,) = task.items()
    ask = task.ask(item, "completion")
    assert isinstance(ask, Generation)
    assert ask.prompt.question == (
        "问题：下列哪些正确? 选项：(A)甲 (B)乙 (C)丙 (D)丁\n答案：从A到D, 我们应选择"
    )
    assert (ask.stop, task.ask(item, "chat").stop) == (("\n",), ())
    assert task.score(item, said(" AC")).metrics == {"acc": 1.0, "share": 1.0}
    assert task.score(item, said("选择 C")).metrics == {"acc": 0.0, "share": 0.5}
    assert task.score(item, said("A、B、C")).metrics == {"acc": 0.0, "share": 0.0}


def test_a_row_with_all_options_in_one_text_has_as_many_as_its_exam(tmp_path):
    row = LOGIC | {"options": ["A. 阳台\tB. 客厅\tC. 卧室\tD. 厨房"], "label": "A", "passage": None}
    task = agieval(tmp_path, "gaokao-geography", row)
    (item,) = task.items()
    assert item.options == ("A", "B", "C", "D")
    assert "从A到D" in task.ask(item, "completion").candidates[0].prompt.question


def test_chance_is_by_options_by_their_sets_and_none_of_formulas(tmp_path):
    task = agieval(tmp_path, "jec-qa-kd", LAW, LAW | {"label": "B"})
    assert task.chance(task.items()) == pytest.approx((1 / 15 + 1 / 4) / 2)


def test_means_of_files_by_language(tmp_path):
    lines(tmp_path / "lsat-lr.jsonl", [LOGIC, LOGIC])
    lines(tmp_path / "gaokao-history.jsonl", [LAW | {"label": "B"}])
    task = AGIEval(data_path=str(tmp_path), subjects=["lsat-lr", "gaokao-history"])
    items = task.items()
    answers = [answered([-1, -9, -9, -9, -9]), answered([-9, -9, -9, -9, -1])]
    answers.append(answered([-9, -1, -9, -9]))
    scores = [task.score(item, answer) for item, answer in zip(items, answers, strict=True)]
    assert task.overall(items, scores) == {
        "acc_english": 0.5,
        "acc_chinese": 1.0,
        "acc_gaokao": 1.0,
    }
    assert task.notices(items, scores) == ["2 of 21 files"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "F"}, "the answer is 'F', and must be A to E or 0 to 4"),
        ({"label": None}, "the answer is None"),
        ({"label": []}, "the label is an empty list"),
        ({"options": None}, "'options' must be a list, not None"),
    ],
)
def test_damaged_rows(tmp_path, change, message):
    task = agieval(tmp_path, "lsat-lr", LOGIC, LOGIC | change)
    with pytest.raises(DataError, match=f"lsat-lr.jsonl:2: {message}"):
        task.items()


def test_a_missing_file_is_named(tmp_path):
    lines(tmp_path / "lsat-lr.jsonl", [LOGIC])
    with pytest.raises(UsageError, match="agieval: 20 of 21 subjects have no file: aqua-rat, log"):
        AGIEval(data_path=str(tmp_path))


@pytest.mark.parametrize(
    ("text", "acc"),
    [("\\dfrac{1}{2}", 1.0), ("$\\frac12$.\nQ: more", 1.0), ("0.25", 0.0), ("", 0.0)],
)
def test_formulas_are_compared_once_laid_out_alike(tmp_path, text, acc):
    row = LOGIC | {"passage": "", "options": None, "label": None, "answer": "\\frac{1}{2}"}
    task = agieval(tmp_path, "math", row)
    (item,) = task.items()
    ask = task.ask(item, "completion")
    assert isinstance(ask, Generation)
    assert ask.prompt.question == "Q: What follows?\nA: The answer is"
    score = task.score(item, said(text))
    assert (score.metrics, score.unanswered) == ({"acc": acc}, not text)
    chinese = agieval(tmp_path, "gaokao-mathcloze", row)
    assert chinese.ask(chinese.items()[0], "chat").prompt.question == "问题：What follows?\n答案："
    assert task.chance([item]) == 0.0


def write_samples(folder, **samples):
    """As the authors write them: a row of samples, one of explanations."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "few_shot_prompts.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["", *samples])
        for number in range(max(map(len, samples.values()))):
            cells = [each[number] if number < len(each) else "" for each in samples.values()]
            table.writerow([f"sample {number + 1}", *(cell and str(cell) for cell in cells)])
            table.writerow([f"explanation {number + 1}", *("because" for _ in cells)])


def test_shots_are_the_authors_own(tmp_path):
    lines(tmp_path / "AGIEval/data/v1/lsat-lr.jsonl", [LOGIC])
    lines(tmp_path / "AGIEval/data/v1/jec-qa-kd.jsonl", [LAW])
    shown = [LOGIC | {"passage": None, "question": f"What {n}?", "label": "B"} for n in range(3)]
    write_samples(tmp_path / "AGIEval/data", **{"lsat-lr": shown, "jec-qa-kd": [LAW, LAW]})
    subjects = ["lsat-lr", "jec-qa-kd"]
    task = AGIEval(data_path=str(tmp_path), subjects=subjects, shots=2)
    english, chinese = task.items()
    prompt = task.ask(english, "completion").candidates[0].prompt
    options = "(A)one (B)two (C)three (D)four (E)five"
    assert prompt.description == "Here are the answers for the problems in the exam.\n"
    assert prompt.shots[1] == Shot(
        "Problem 2.    What 1?\nChoose from the following options:    "
        f"{options}\nThe answer is therefore",
        "B",
    )
    assert prompt.question == (
        "Problem 3.   All swans are white.  What follows?\nChoose from the following options:    "
        f"{options}\nThe answer is therefore"
    )
    assert continuations(task, english) == [" A", " B", " C", " D", " E"]
    asked = task.ask(chinese, "completion")
    assert asked.prompt.shots[0] == Shot(
        "问题 1.    下列哪些正确?\n从以下选项中选择:    (A)甲 (B)乙 (C)丙 (D)丁\n答案是", "A, C"
    )
    assert task.settings()["shots"] == 2
    with pytest.raises(UsageError, match="shots=3, but few_shot_prompts.csv has 2 of jec-qa-kd"):
        AGIEval(data_path=str(tmp_path), subjects=subjects, shots=3)


@pytest.mark.parametrize("cell", ["__import__('os').getcwd()", "{'question': ", "['a']"])
def test_a_damaged_sample_is_named_and_nothing_is_executed(tmp_path, cell):
    write_samples(tmp_path / "AGIEval/data", **{"lsat-lr": [cell]})
    lines(tmp_path / "AGIEval/data/v1/lsat-lr.jsonl", [LOGIC])
    with pytest.raises(DataError, match="few_shot_prompts.csv:2, lsat-lr: the sample is no"):
        AGIEval(data_path=str(tmp_path), subjects=["lsat-lr"], shots=1)


def test_shots_without_their_file_are_refused(tmp_path):
    lines(tmp_path / "AGIEval/data/v1/lsat-lr.jsonl", [LOGIC])
    with pytest.raises(UsageError, match="shots=1 needs few_shot_prompts.csv next to the exams'"):
        AGIEval(data_path=str(tmp_path), subjects=["lsat-lr"], shots=1)
