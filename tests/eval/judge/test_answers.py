"""The forms of files of answers, on rows written here in each of them."""

from __future__ import annotations

import json

import pytest

from xtune.errors import DataError, UsageError
from xtune.eval.judge.answers import kind_of_category, read_answers, shared_questions


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def told(answers):
    return [
        (item.id, item.question, item.answer, item.category, item.reference)
        for item in answers.items.values()
    ]


@pytest.mark.parametrize(
    ("row", "read"),
    [
        ({"question": "Q?", "answer": "A"}, ("Q?", "Q?", "A", "general", "")),
        (
            {"id": 3, "prompt": "Q?", "response": "A", "category": "math", "reference": "R"},
            ("3", "Q?", "A", "math", "R"),
        ),
        (
            {"instruction": "Do", "input": "this", "output": "", "generator": "m", "dataset": "d"},
            ("Do\n\nthis", "Do\n\nthis", "", "general", ""),
        ),
        (
            {
                "task": "mine",
                "id": 7,
                "group": "law",
                "question": "Q?",
                "got": "A",
                "expected": "B",
            },
            ("mine/7", "Q?", "A", "law", "B"),
        ),
        (
            {"question": "Q?", "answer": "A", "class": "code", "std_answer": "R"},
            ("Q?", "Q?", "A", "code", "R"),
        ),
    ],
)
def test_a_row(row, read, tmp_path):
    (answers,) = read_answers([write(tmp_path / "m.v1.jsonl", [row])])
    assert told(answers) == [read]
    assert answers.name == "m"


def test_of_an_evaluation_that_awaits_a_judge_what_has_a_score_is_passed_over(tmp_path):
    row = {"task": "open", "id": "1", "question": "Why?", "got": "So.", "metrics": {}}
    scored = {**row, "task": "mmlu", "metrics": {"acc": 1.0}}
    (answers,) = read_answers([write(tmp_path / "items.jsonl", [scored, row])])
    assert list(answers.items) == ["open/1"]
    assert answers.unusable == ["1 items that have a score already: others await a judge"]
    (answers,) = read_answers([write(tmp_path / "scored.jsonl", [scored])])
    assert list(answers.items) == ["mmlu/1"]


def test_a_json_list_and_what_nobody_reads(tmp_path):
    rows = [{"instruction": str(at), "output": "x", "generator": "g"} for at in range(3)]
    path = tmp_path / "alpaca.json"
    path.write_text(json.dumps(rows))
    (answers,) = read_answers([str(path)])
    assert (list(answers.items), answers.unread) == (["0", "1", "2"], {"generator": 3})


def test_fastchats_two_turns_are_two_items(tmp_path):
    questions = write(
        tmp_path / "question.jsonl",
        [{"question_id": 81, "category": "math", "turns": ["1+1?", "and 2?"], "reference": ["2"]}],
    )
    answers = write(
        tmp_path / "m.jsonl",
        [{"question_id": 81, "model_id": "m", "choices": [{"index": 0, "turns": ["2", "4"]}]}],
    )
    right = write(
        tmp_path / "gpt-4.jsonl", [{"question_id": 81, "choices": [{"turns": ["two", "four"]}]}]
    )
    (read,) = read_answers([answers], questions=questions)
    assert told(read) == [
        ("81", "1+1?", "2", "math", "2"),
        ("81#2", "[1] 1+1?\n\n[2] and 2?", "[1] 2\n\n[2] 4", "math", ""),
    ]
    (read,) = read_answers([answers], questions=questions, references=right)
    assert [item.reference for item in read.items.values()] == ["two", "[1] two\n\n[2] four"]
    with pytest.raises(DataError, match=r"no row that can be judged.*--questions FILE; the first"):
        read_answers([answers])


def test_unusable_rows_are_named_and_the_others_read(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"question": "Q"}\n{"question": "a", "answer": "b"}\n{"question":\n')
    with path.open("a") as file:
        file.write('{"question": "a", "answer": "c"}\n{"answer": "c"}\n')
    (answers,) = read_answers([str(path)])
    assert [item.answer for item in answers.items.values()] == ["b"]
    places = [f"{path}:{line}: {why}" for line, why in (
        (1, "there is no answer in it"),
        (3, "broken JSON"),
        (4, f"has the id or question of {path}:2 again"),
        (5, "there is no question for it"),
    )]  # fmt: skip
    assert len(answers.unusable) == len(places)
    for said, place in zip(answers.unusable, places, strict=True):
        assert said.startswith(place)


def test_shared_questions_by_id_by_text_and_what_is_left_out(tmp_path):
    one = [{"id": at, "question": f"q{at}", "answer": "a"} for at in range(5)]
    other = [
        {"id": 0, "question": "q0", "answer": "b", "category": "math", "reference": "r"},
        {"id": 1, "question": "another", "answer": "b"},
        {"id": 9, "question": "q2", "answer": "b"},
        {"id": 8, "question": "q8", "answer": "b"},
    ]
    sets = read_answers([write(tmp_path / "a.jsonl", one), write(tmp_path / "b.jsonl", other)])
    shared = shared_questions(*sets)
    assert [item.id for item in shared.first] == ["0", "2"]
    assert [(i.id, i.answer) for i in shared.second] == [("0", "b"), ("2", "b")]
    assert (shared.first[0].category, shared.first[0].reference) == ("math", "r")
    a, b = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    assert shared.mismatched == [
        f"1: another question in {a}:2 than in {b}:2",
        f"3: only in {a}",
        f"4: only in {a}",
        f"8: only in {b}",
    ]


def test_a_file_without_ids_takes_those_of_another(tmp_path):
    sets = read_answers(
        [
            write(tmp_path / "a.jsonl", [{"question": "q", "answer": "a"}]),
            write(tmp_path / "b.jsonl", [{"id": 5, "question": "q", "answer": "b"}]),
        ]
    )
    assert [list(each.items) for each in sets] == [["5"], ["5"]]


def test_names_of_models(tmp_path):
    rows = [{"question": "q", "answer": "a"}]
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
    paths = [write(tmp_path / folder / "out.jsonl", rows) for folder in ("x", "y")]
    assert [each.name for each in read_answers(paths)] == ["x/out", "y/out"]
    with pytest.raises(UsageError, match="name each file of answers once"):
        read_answers([paths[0], paths[0]])


def test_kinds():
    named = {
        "math": ("math", "Mathematics", "数学题"),
        "coding": ("coding", "code", "代码"),
        "general": ("others", "reasoning", "writing", "general", ""),
    }
    for kind, names in named.items():
        assert {kind_of_category(name) for name in names} == {kind}


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"no file of answers '.*nowhere.jsonl'"):
        read_answers([str(tmp_path / "nowhere.jsonl")])
    here = write(tmp_path / "m.jsonl", [{"question": "Q?", "answer": "A"}])
    with pytest.raises(UsageError, match=r"no file of answers '.*right.jsonl'"):
        read_answers([here], references=str(tmp_path / "right.jsonl"))
