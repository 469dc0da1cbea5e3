"""One model, measured: in either form, killed and resumed, by one process and by two."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from peft import LoraConfig

import xtune
from tests.eval.own_tasks import Letters, Likely, Talks
from tests.eval.tasks.files import write
from tests.forked import run_ranks
from tests.tiny import write_tiny_llama
from xtune.cli.entry import main
from xtune.errors import UsageError
from xtune.eval.evaluate import before_and_after, evaluate, measure
from xtune.eval.result_files import read_results
from xtune.eval.subject import Subject, weights_hash
from xtune.eval.target import find_target
from xtune.eval.tasks.ceval import CEval
from xtune.eval.tasks.own_file import OwnFile
from xtune.models import attach_adapter, load_model, load_tokenizer

OWN = str(Path(__file__).with_name("own_tasks.py"))
TASKS = [f"{OWN}:Letters", f"{OWN}:Words"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A base model: no chat template."""
    folder = write_tiny_llama(tmp_path_factory.mktemp("base") / "llama")
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    config = folder / "tokenizer_config.json"
    fields = json.loads(config.read_text())
    fields.pop("chat_template", None)
    config.write_text(json.dumps(fields))
    return folder


def test_a_base_model_is_asked_in_the_completion_form(base, tmp_path):
    results = evaluate(base, TASKS, out=tmp_path / "out", dtype="fp32")
    task = results["letters"]
    assert task.first_prompt == "Letters.\n\nLetter 0?\nAnswer: A\n\nLetter 0?\nAnswer:⟦A¦B⟧"
    assert task.settings["form"] == "completion"
    assert task.settings["shots_shown"] == 1
    assert task.settings["dtype"] == "float32"
    assert task.chance == 0.5
    assert results["words"].of == 5
    assert len(results["words"].rows[0].raw) == 2
    assert read_results(tmp_path / "out").to_dict() == results.to_dict()
    with pytest.raises(UsageError, match="has no chat template"):
        evaluate(base, TASKS[:1], form="chat", out=tmp_path / "other")


def test_an_adapter_on_4_bits_is_asked_once_too(tmp_path):
    """On some processors bitsandbytes repacks the weights in a pass, which makes no new model."""
    base = write_tiny_llama(tmp_path / "base", width=64)
    attach_adapter(load_model(str(base)), LoraConfig(r=4)).save_pretrained(tmp_path / "adapter")
    target = find_target(str(base), adapter=str(tmp_path / "adapter"), bits=4)
    asked = []

    def measured():
        return before_and_after(
            target,
            {"letters": Letters()},
            folder=tmp_path / "out",
            on_progress=lambda stage, *said: asked.append(stage),
        )

    first = measured()
    assert {*asked} == {"before", "after"}
    asked.clear()
    second = measured()
    assert asked == []
    assert second.after.model == first.after.model


def test_the_chat_form_of_the_same_questions(inputs, tmp_path):
    results = xtune.evaluate(inputs.model, [Letters()], form="chat", out=tmp_path)
    assert results["letters"].first_prompt == (
        "<|im_start|>system\nLetters.\n\n<|im_end|>\n"
        "<|im_start|>user\nLetter 0?\nAnswer:<|im_end|>\n"
        "<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nLetter 0?\nAnswer:<|im_end|>\n"
        "<|im_start|>assistant\n⟦A¦B⟧"
    )


def test_a_task_is_asked_in_the_form_that_it_knows(inputs, tmp_path):
    results = evaluate(inputs.model, [Likely(), Letters()], form="chat", out=tmp_path)
    assert results["likely"].settings["form"] == "completion"
    assert results["letters"].settings["form"] == "chat"
    assert results["likely"].score == results["likely"].overall["nats"] > 0


def test_a_submission_and_answers_for_a_judge_have_no_number_yet(base, tmp_path):
    write(tmp_path / "test/law_test.csv", "id,question,A,B,C,D\n3,Q?,1,2,3,4\n")
    write(tmp_path / "open.jsonl", '{"question": "Why?", "reference": "So."}\n')
    exam = CEval(data_path=str(tmp_path), split="test", subjects=["law"], shots=0)
    mine = OwnFile(data_path=str(tmp_path / "open.jsonl"), max_new_tokens=4)
    results = evaluate(base, [exam, mine], out=tmp_path / "out", dtype="fp32")
    assert [results[name].score for name in ("ceval", "open")] == [None, None]
    assert results["ceval"].warnings[0] == "1 of 52 subjects"
    (sent,) = (tmp_path / "out").rglob("*submission.json")
    letter = results["ceval"].rows[0].got
    assert json.loads(sent.read_text()) == {"law": {"3": letter}}
    assert letter in tuple("ABCD")
    assert results["open"].rows[0].expected == "So."


def test_who_goes_on_makes_passes_of_the_first_ones_size(base, tmp_path):
    """However much memory is free by then: numbers depend on it in their last places."""
    evaluate(base, [Letters()], out=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    (at,) = (n for n, line in enumerate(lines) if line["key"].startswith("token budget cpu "))
    assert lines[at]["answer"] == 2048
    lines[at]["answer"] = 300  # as if it had been recorded where less was free
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "answers.jsonl").write_text(text)
    again = evaluate(base, [Letters(count=9), Likely()], out=tmp_path)
    assert {again[name].settings["token_budget"] for name in ("letters", "likely")} == {300}


def test_an_answer_has_the_room_that_a_small_model_leaves_it(base, tmp_path):
    task = evaluate(base, [Talks()], out=tmp_path, dtype="fp32")["talks"]
    (row,) = task.rows
    room = task.settings["max_length"] - len(load_tokenizer(str(base)).encode("Say 0"))
    assert (row.notes["room"], row.cut, task.to_dict()["short_of_room"]) == (room, 0, 1)
    assert task.warnings[0] == (
        f"1 of 1 answers had room for {room} to {room} tokens, not for as many as were wanted: the "
        f"model takes {task.settings['max_length']} in all"
    )


def test_fewer_rows_are_a_partial_result(base, tmp_path):
    task = evaluate(base, [Letters(count=9)], rows=3, out=tmp_path)["letters"]
    assert [row.id for row in task.rows] == ["0", "3", "6"]
    assert task.to_dict()["partial"] is True


def test_killed_at_any_item_and_run_again_it_gives_the_same_files(base, tmp_path):
    whole = tmp_path / "whole"
    evaluate(base, TASKS, out=whole, dtype="fp32")
    answers = (whole / "answers.jsonl").read_bytes()
    assert answers.count(b"\n") == 1 + 8 * 2 + 5 * 2  # the size of passes first
    for kept in (0, 40, len(answers) // 2, len(answers) - 30):
        killed = tmp_path / f"killed_{kept}"
        killed.mkdir()
        (killed / "answers.jsonl").write_bytes(answers[:kept])
        evaluate(base, TASKS, out=killed, dtype="fp32")
        assert (killed / "items.jsonl").read_bytes() == (whole / "items.jsonl").read_bytes()
        first, second = (
            {**json.loads((folder / "results.json").read_text()), "run": None}
            for folder in (whole, killed)
        )
        assert first == second


def test_other_weights_get_answers_of_their_own(base, tmp_path):
    tokenizer = load_tokenizer(str(base))
    llm = load_model(str(base), dtype="fp32")
    first = measure(Subject(llm, tokenizer), {"letters": Letters()}, folder=tmp_path)
    before = weights_hash(llm)
    llm.get_input_embeddings().weight.data[5, 5] += 1e-3
    assert weights_hash(llm) != before
    second = measure(Subject(llm, tokenizer), {"letters": Letters()}, folder=tmp_path)
    assert first.model["weights"] != second.model["weights"]
    assert (tmp_path / "answers.jsonl").read_bytes().count(b"\n") == 2 * (1 + 8 * 2)


def test_two_processes_find_what_one_does_and_go_on_with_what_it_began(base, tmp_path):
    words = ["eval", str(base), "--tasks", f"{OWN}:Letters", "--dtype", "fp32"]
    words += ["--task-options", "letters.count=300"]
    one, two, resumed = (tmp_path / name for name in ("one", "two", "resumed"))
    assert main([*words, "--out", str(one)]) == 0
    shutil.copytree(one, resumed)
    lines = (one / "answers.jsonl").read_bytes().splitlines(keepends=True)
    (resumed / "answers.jsonl").write_bytes(b"".join(lines[:100]))
    for folder in (two, resumed):
        run_ranks("xtune.cli.entry", [*words, "--out", str(folder)], tmp_path, 2)
        assert (folder / "items.jsonl").read_bytes() == (one / "items.jsonl").read_bytes()
        assert read_results(folder).run["processes"] == 2
        assert (folder / "answers_1.jsonl").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mmul"], "there is no task 'mmul'; did you mean 'mmlu'"),
        (["mmlu,gsm8k"], "part tasks by blanks: --tasks mmlu gsm8k"),
        (["letters.py"], "write letters.py:Task"),
        ([f"{OWN}:Letter"], "did you mean 'Letters'"),
        ([f"{OWN}:Prompt"], "is no Task"),
        ([f"{OWN}:Letters", "--task-options", "letters.shot=2"], "did you mean 'shots'"),
        ([f"{OWN}:Letters", "--task-options", "letters.shots=two"], "must be"),
        ([f"{OWN}:Words", "--shots", "3"], "shows no examples"),
        (["race", "piqa", "--data", "a/b"], "a/b is one data set, and race and piqa are two"),
    ],
)
def test_what_is_misspelt_is_said_before_anything_is_loaded(words, said, base, capsys):
    assert main(["eval", str(base), "--tasks", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_folder_that_looks_like_a_hubs_id_is_a_folder(tmp_path, monkeypatch):
    from xtune.eval.chosen import choose_tasks

    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a/b/piqa/valid.jsonl", '{"goal": "g", "sol1": "a", "sol2": "b"}\n')
    write(tmp_path / "a/b/piqa/valid-labels.lst", "0\n")
    row = '{"question": "is it", "title": "t", "answer": true, "passage": "p"}\n'
    write(tmp_path / "a/b/boolq/dev.jsonl", row)
    assert list(choose_tasks(["piqa", "boolq"], data="a/b")) == ["piqa", "boolq"]


def test_items_of_the_runs_own_rows_are_counted_and_left_out_once(tmp_path):
    (tmp_path / "data.jsonl").write_text(
        json.dumps({"text": "It was asked: letter 3, of all the letters that there are? Yes."})
        + "\n"
    )

    class Long(Letters):
        def items(self):
            more = " of all the letters that there are?"
            return [replace(item, question=item.question[:-1] + more) for item in super().items()]

    llm = load_model(str(write_tiny_llama(tmp_path / "llama")), dtype="fp32")
    subject = Subject(llm, load_tokenizer(str(tmp_path / "llama")))
    trained_on = {"data_path": str(tmp_path / "data.jsonl")}
    results = measure(subject, {"letters": Long()}, trained_on=trained_on, folder=tmp_path / "out")
    task = read_results(tmp_path / "out")["letters"]
    assert list(task.contamination.touched) == ["3"]
    assert task.contamination.touched["3"].tokens == 9
    without = task.to_dict()["contamination"]["without_touched"]
    others = [row.metrics["acc"] for row in task.rows if row.id != "3"]
    assert (without["n"], without["mean"]) == (7, sum(others) / 7)
    assert task.warnings[0].startswith("1 items stand in the training rows; without them acc is ")
    assert results["letters"].to_dict() == task.to_dict()
    missing = measure(subject, {"letters": Long()}, trained_on={"data_path": "no_such_file.jsonl"})
    assert missing["letters"].contamination is None
