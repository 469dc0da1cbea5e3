"""`xtune batch`: a file of prompts, a file of answers, and what an interrupt leaves."""

from __future__ import annotations

import json

import pytest

import xtune
from tests.parrot import LINES
from xtune.cli.entry import main
from xtune.generation.batch_file import answer_file, read_prompts
from xtune.generation.pipeline import pipeline


@pytest.fixture(scope="module")
def parrot(parrot_folder):
    return xtune.load(parrot_folder)


@pytest.fixture
def prompts(tmp_path):
    file = tmp_path / "prompts.jsonl"
    rows = [{"prompt": asked, "id": at} for at, (asked, _) in enumerate(LINES)]
    rows[1] = {"messages": [{"role": "user", "content": LINES[1][0]}]}
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def answers(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_text_may_hold_what_unicode_takes_for_the_end_of_a_line(parrot, tmp_path):
    file = tmp_path / "prompts.jsonl"
    texts = ["a\u2028b", "c\x85d"]
    lines = [json.dumps({"prompt": text}, ensure_ascii=False) + "\n" for text in texts]
    file.write_text("".join(lines), encoding="utf-8")
    rows = read_prompts(file)
    assert [row["prompt"] for row in rows] == texts
    file.with_suffix(".txt").write_text("a\u2028b\n", encoding="utf-8")
    assert read_prompts(file.with_suffix(".txt")) == [{"prompt": "a\u2028b"}]
    out = tmp_path / "answers.jsonl"
    part = tmp_path / "answers.jsonl.part"
    given = {"seed": 0, "batch_size": 1, "settings": {"max_new_tokens": 4}}

    def stop(done, all_):
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answer_file(pipeline(parrot), rows, out, on_progress=stop, **given)
    head, first = map(json.loads, part.read_text(encoding="utf-8").split("\n")[:2])
    first["answer"] = "one\u2028two"
    said = [json.dumps(each, ensure_ascii=False) + "\n" for each in (head, first)]
    part.write_text("".join(said), encoding="utf-8")
    assert answer_file(pipeline(parrot), rows, out, on_progress=lambda *_: None, **given) == 1
    whole = [json.loads(line) for line in out.read_text(encoding="utf-8").split("\n")[:-1]]
    assert [row["prompt"] for row in whole] == texts
    assert whole[first["row"]]["answer"] == "one\u2028two"


def test_each_row_gets_its_answer_in_its_place(parrot_folder, prompts, tmp_path, capsys):
    out = tmp_path / "answers.jsonl"
    words = ["batch", str(parrot_folder), str(prompts), str(out), "--batch-size", "2"]
    assert main(words) == 0
    assert "4 answers: " in capsys.readouterr().err
    assert [row["answer"] for row in answers(out)] == [answer for _, answer in LINES]
    assert answers(out)[2] == {
        "prompt": LINES[2][0],
        "id": 2,
        "answer": LINES[2][1],
        "ended_by": "stop",
    }
    assert "messages" in answers(out)[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.jsonl", "prompts.jsonl"]
    assert main(words) == 2
    assert "is there already" in capsys.readouterr().err


def test_what_was_interrupted_goes_on_and_says_the_same(parrot, prompts, tmp_path):
    answer = pipeline(parrot)
    settings = {"temperature": 1.5, "max_new_tokens": 12}
    rows = read_prompts(prompts)

    def run(name, on_progress=lambda done, all_: None, **changed):
        given = {"seed": 3, "batch_size": 1, "settings": settings, **changed}
        return answer_file(answer, rows, tmp_path / name, on_progress=on_progress, **given)

    assert run("whole") == 0

    def stop(done, all_):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("parts", stop)
    part = tmp_path / "parts.part"
    assert len(answers(part)) == 3
    with part.open("a") as file:
        file.write('{"row": 3, "answ')  # as a crash leaves it
    with pytest.raises(xtune.XtuneError, match="other prompts, by another model or with other"):
        run("parts", seed=4)
    assert run("parts") == 2
    assert answers(tmp_path / "parts") == answers(tmp_path / "whole")
    assert not part.exists()


def test_a_pipeline_answers_as_chat_does(parrot):
    replies = pipeline(parrot)([asked for asked, _ in LINES])
    assert [str(reply) for reply in replies] == [answer for _, answer in LINES]
    sampled = pipeline(parrot)(
        ["Bye", [{"role": "user", "content": "Bye"}]], temperature=1.8, seed=5, max_new_tokens=9
    )
    for at, reply in enumerate(sampled):
        assert reply == parrot.chat("Bye", temperature=1.8, seed=5 + at, max_new_tokens=9)
    with pytest.raises(xtune.XtuneError, match="prompts is one text; give a list"):
        pipeline(parrot)("Bye")  # and not one answer to each letter


@pytest.mark.parametrize(
    ("line", "said"),
    [("{", "is no JSON"), ('{"text": "a"}', 'needs "messages"'), ("\n", "has no prompts")],
)
def test_a_file_of_no_prompts_is_refused(tmp_path, capsys, parrot_folder, line, said):
    file = tmp_path / "prompts.jsonl"
    file.write_text(line)
    assert main(["batch", str(parrot_folder), str(file), str(tmp_path / "out")]) != 0
    assert said in capsys.readouterr().err


def test_a_text_has_a_prompt_a_line(tmp_path):
    (tmp_path / "questions.txt").write_text("Who?\n\nWhy?\n")
    assert read_prompts(tmp_path / "questions.txt") == [{"prompt": "Who?"}, {"prompt": "Why?"}]
