"""A user's own questions: told by the first row, read, asked and scored."""

from __future__ import annotations

import json
import math

import pytest

from tests.eval.tasks.files import answered, asked, lines, one_text, write
from xtune.errors import DataError, UsageError
from xtune.eval.tasks.base import Generation, Text, Texts
from xtune.eval.tasks.own_file import OwnFile


def own(folder, *rows):
    return OwnFile(data_path=str(lines(folder / "q.jsonl", rows)))


def said(text):
    return Texts((Text(text, "stop", 5),))


RIVERS = {"question": "Which is longest?", "options": ["Rhine", "Danube", "Po"]}


@pytest.mark.parametrize("answer", ["B", "Danube", 1, "1"])
def test_options_with_an_answer_by_letter_text_or_number(tmp_path, answer):
    task = own(tmp_path, RIVERS | {"answer": answer})
    (item,) = task.items()
    assert (item.gold, item.where, item.id) == (1, "q.jsonl:1", "1")
    choices = asked(task, item)
    assert one_text(choices.candidates[0].prompt) == (
        "Which is longest?\nA. Rhine\nB. Danube\nC. Po\nAnswer:"
    )
    assert [one.continuation for one in choices.candidates] == ["A", "B", "C"]
    assert (task.scoring, task.headline) == ("option_letter", "acc")
    score = task.score(item, answered([math.log(p) for p in (0.1, 0.4, 0.2)]))
    assert (score.metrics, score.got) == ({"acc": 1.0}, "B")
    assert task.chance(task.items()) == pytest.approx(1 / 3)


def test_a_table_with_a_column_an_option(tmp_path):
    write(
        tmp_path / "q.csv",
        "id,question,A,B,C,answer,group\n"
        'r1,"北京, 是什么？",城市,河,,A,地理\n'
        "r2,几？,一,二,三,C,\n",
    )
    task = OwnFile(data_path=str(tmp_path / "q.csv"))
    first, second = task.items()
    assert (first.id, first.options, first.gold, first.group) == ("r1", ("城市", "河"), 0, "地理")
    assert (second.options, second.gold, second.where) == (("一", "二", "三"), 2, "q.csv:3")
    assert one_text(asked(task, first).candidates[0].prompt) == (
        "北京, 是什么？\nA. 城市\nB. 河\n答案："
    )
    assert asked(task, first).candidates[0].prompt.delimiter == ""


@pytest.mark.parametrize("answer", [["A", "C"], ["Rhine", 2], "AC", "A, C", "C、A"])
def test_several_right_options_are_answered_in_words(tmp_path, answer):
    task = own(tmp_path, RIVERS | {"answer": answer})
    (item,) = task.items()
    assert item.gold == [0, 2]
    ask = task.ask(item, "completion")
    assert isinstance(ask, Generation)
    assert ask.prompt.question == (
        "Which is longest?\nOne or more options are right.\nA. Rhine\nB. Danube\nC. Po\nAnswer:"
    )
    assert task.chance([item]) == pytest.approx(1 / 7)
    for text, acc, share in (
        (" A and C", 1.0, 1.0),
        (" A", 0.0, 0.5),
        (" A, B, C", 0.0, 0.0),
        (" B", 0.0, 0.0),
    ):
        assert task.score(item, said(text)).metrics == {"acc": acc, "share": share}
    nothing = task.score(item, said(" I do not know"))
    assert (nothing.unanswered, nothing.metrics["acc"], nothing.expected) == (True, 0.0, "AC")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (RIVERS | {"answer": "D"}, "the answer is 'D', and must be a letter A to C, the text of"),
        (RIVERS | {"answer": 3}, "the answer is 3, and must be"),
        (RIVERS | {"answer": []}, "the answer is an empty list"),
        (RIVERS, "no field 'answer'; the row has 'question', 'options'"),
        (RIVERS | {"options": ["one"], "answer": "A"}, "1 options; a question has 2 to 26"),
        (RIVERS | {"options": ["x", "x"], "answer": "x"}, "the answer 'x' is the text of several"),
        (RIVERS | {"options": ["B", "A"], "answer": "A"}, "the answer 'A' is both a letter"),
        ({"question": " ", "options": ["x", "y"], "answer": "A"}, "the question is blank"),
        ({"question": 3, "options": ["x", "y"], "answer": "A"}, "'question' must be a text, not 3"),
    ],
)
def test_rows_that_no_question_can_be_made_of(tmp_path, row, message):
    good = RIVERS | {"answer": "A"}
    task = own(tmp_path, good, row)
    with pytest.raises(DataError, match=f"q.jsonl:2: {message}"):
        task.items()


def test_digits_are_the_option_of_that_text_first(tmp_path):
    row = {"question": "1 + 1?", "options": ["1", "2", "3"], "answer": "2"}
    assert own(tmp_path, row).items()[0].gold == 1
    assert own(tmp_path, row | {"answer": 2}).items()[0].gold == 2


@pytest.mark.parametrize(
    ("text", "exact", "contains"),
    [
        ("Paris", 1.0, 1.0),
        (" paris.", 1.0, 1.0),
        ("The answer is \\boxed{Paris}", 1.0, 1.0),
        ("It is Paris, I think", 0.0, 1.0),
        ("<think>London?</think>City of Light", 1.0, 1.0),
        ("London", 0.0, 0.0),
    ],
)
def test_an_exact_answer(tmp_path, text, exact, contains):
    task = own(
        tmp_path,
        {"question": "Capital of France?", "answer": "Paris", "aliases": ["City of Light"]},
    )
    (item,) = task.items()
    assert task.score(item, said(text)).metrics == {"exact_match": exact, "contains": contains}
    assert (task.scoring, task.headline, task.chance([item])) == ("exact_match", "exact_match", 0)


@pytest.mark.parametrize(
    ("text", "exact"), [("So it is 1,250.50 in all.", 1.0), ("12.5050", 0.0), ("1250.5", 1.0)]
)
def test_an_answer_that_is_a_number_is_compared_as_one(tmp_path, text, exact):
    task = own(tmp_path, {"question": "How much?", "answer": 1250.5})
    assert task.score(task.items()[0], said(text)).metrics["exact_match"] == exact


def test_exact_questions_in_both_forms_and_languages(tmp_path):
    (english,) = (task := own(tmp_path, {"question": "Who?", "answer": "I"})).items()
    assert task.ask(english, "completion") == Generation(
        prompt_of("Question: Who?\nAnswer:", " "), ("\n",), 256
    )
    chat = task.ask(english, "chat")
    assert chat.prompt.question == "Who?\n\nReply with the answer alone."
    (chinese,) = (task := own(tmp_path, {"question": "谁？", "answer": "我"})).items()
    assert task.ask(chinese, "completion").prompt.question == "问题：谁？\n答案："
    assert task.score(chinese, said("答案是我。")).metrics["exact_match"] == 1.0


def prompt_of(question, delimiter):
    from xtune.eval.tasks.base import Prompt

    return Prompt(question=question, delimiter=delimiter)


def test_open_questions_keep_the_answer_for_a_judge(tmp_path):
    task = own(tmp_path, {"question": "Write a poem", "reference": "Roses"}, {"question": "Why?"})
    first, second = task.items()
    assert task.ask(first, "chat").prompt.question == "Write a poem"
    score = task.score(first, said("Violets"))
    assert (score.metrics, score.got, score.expected) == ({}, "Violets", "Roses")
    assert task.score(second, said("")).unanswered
    assert (task.scoring, task.headline) == ("judged", "rating")


def test_what_nobody_reads_is_named_and_how_rows_are_read_is_said(tmp_path):
    task = own(tmp_path, RIVERS | {"answer": "A", "source": "atlas", "year": 1})
    assert task.notices([], []) == [
        "q.jsonl: questions with options, answered by letter",
        "q.jsonl: not read: source, year",
    ]
    assert task.settings() == {
        "file": "q.jsonl",
        "items": 1,
        "scoring": "option_letter",
        "cue": "Answer:",
        "max_new_tokens": 256,
    }


def test_a_system_text_of_a_row_stands_before_its_question(tmp_path):
    taught = RIVERS | {"answer": "Danube", "system": "You are a guide.\n"}
    task = own(tmp_path, taught, RIVERS | {"answer": "Danube"})
    first, second = task.items()
    prompts = [task.ask(first, form).candidates[1].prompt for form in ("completion", "chat")]
    assert [one.description for one in prompts] == ["You are a guide.\n\n", "You are a guide."]
    assert prompts[1].question == task.ask(second, "chat").candidates[1].prompt.question
    assert task.ask(second, "chat").candidates[1].prompt.description == ""
    assert "not read" not in " ".join(task.notices([], []))
    assert len(task.settings()["system_of_rows"]) == 16
    written = own(tmp_path, {"question": "Why?", "system": "Be brief."})
    assert written.ask(written.items()[0], "chat").prompt.description == "Be brief."
    with pytest.raises(DataError, match="q.jsonl:1: 'system' must be a text, not 5"):
        own(tmp_path, RIVERS | {"answer": "Danube", "system": 5}).items()


def test_ids_stand_once(tmp_path):
    row = RIVERS | {"answer": "A", "id": "x"}
    with pytest.raises(DataError, match="q.jsonl:2: the id 'x' stands at q.jsonl:1 too"):
        own(tmp_path, row, row).items()


def test_files_that_are_no_questions(tmp_path):
    with pytest.raises(UsageError, match="own_file: no file of questions .*nowhere.jsonl"):
        OwnFile(data_path=str(tmp_path / "nowhere.jsonl"))
    write(tmp_path / "empty.jsonl", "")
    with pytest.raises(UsageError, match="empty.jsonl is empty"):
        OwnFile(data_path=str(tmp_path / "empty.jsonl"))
    with pytest.raises(DataError, match="no field 'question'; the row has 'prompt'"):
        own(tmp_path, {"prompt": "x"})
    write(tmp_path / "q.xlsx", "PK")
    with pytest.raises(DataError, match="q.xlsx is a spreadsheet: save it as CSV UTF-8"):
        OwnFile(data_path=str(tmp_path / "q.xlsx"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"question": "Q", "answer": "4"}, {"question": "R", "options": ["a", "b"], "answer": 0}),
        ({"question": "Q"}, {"question": "R", "answer": "4"}),
    ],
)
def test_rows_of_two_kinds_are_refused(first, second, tmp_path):
    path = tmp_path / "mixed.jsonl"
    path.write_text(f"{json.dumps(first)}\n{json.dumps(second)}\n")
    with pytest.raises(DataError, match=r"mixed\.jsonl:2: it is no row as the first"):
        OwnFile(data_path=str(path)).items()
