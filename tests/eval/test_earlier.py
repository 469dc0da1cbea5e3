"""Nothing that was measured is lost: by other tasks, other settings, other weights, an error."""

from __future__ import annotations

import pytest

from tests.eval.own_tasks import Letters, Words
from tests.eval.results import comparison, results, row
from tests.eval.tasks.files import write
from tests.tiny import write_tiny_llama
from xtune.errors import DataError
from xtune.eval.earlier import keep_earlier
from xtune.eval.evaluate import evaluate
from xtune.eval.pages.report import write_comparison
from xtune.eval.result_files import read_results, write_results


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_tiny_llama(tmp_path_factory.mktemp("earlier") / "llama")


def _written(folder, **changes):
    made = results([row(right=True)], **changes)
    keep_earlier(made, folder)
    write_results(made, folder)
    return made


def test_another_task_joins_those_that_are_there(tmp_path):
    _written(tmp_path, task="mmlu")
    made = _written(tmp_path, task="gsm8k")
    assert list(made.tasks) == ["gsm8k", "mmlu"]
    assert read_results(tmp_path).to_dict() == made.to_dict()
    assert [r.task for r in read_results(tmp_path)["mmlu"].rows] == ["mmlu"]
    assert not (tmp_path / "earlier").exists()


def test_the_same_again_replaces_itself(tmp_path):
    _written(tmp_path)
    _written(tmp_path, settings={**results([row()])["quiz"].settings, "token_budget": 7})
    assert not (tmp_path / "earlier").exists()


def test_what_was_asked_otherwise_is_set_aside(tmp_path, caplog):
    _written(tmp_path, task="mmlu")
    _written(tmp_path)
    made = _written(tmp_path, settings={"form": "completion"})
    assert list(made.tasks) == ["quiz", "mmlu"]
    aside = read_results(tmp_path / "earlier" / "1")
    assert aside["quiz"].settings["form"] == "chat"
    assert "quiz was asked otherwise there" in caplog.text


def test_results_of_other_weights_are_set_aside(tmp_path, caplog):
    _written(tmp_path, task="mmlu")
    made = results([row()])
    made.model["weights"] = "cd"
    keep_earlier(made, tmp_path)
    assert list(made.tasks) == ["quiz"]
    assert list(read_results(tmp_path / "earlier" / "1").tasks) == ["mmlu"]
    assert f"{tmp_path / 'earlier' / '1'} now: they are of other weights" in caplog.text


def test_a_comparison_and_results_do_not_replace_each_other(tmp_path):
    write_comparison(comparison([row()], [row(right=True)]), tmp_path)
    _written(tmp_path, task="mmlu")
    assert (tmp_path / "earlier" / "1" / "report.html").is_file()
    write_comparison(comparison([row()], [row(right=True)]), tmp_path)
    assert list(read_results(tmp_path / "earlier" / "2").tasks) == ["mmlu"]


def test_a_task_that_fails_leaves_the_results_of_those_before_it(base, tmp_path, caplog):
    class Broken(Words):
        def score(self, item, response):
            raise DataError("no rule for this")

    with pytest.raises(DataError, match="no rule"):
        evaluate(base, [Letters(count=2), Broken()], out=tmp_path, dtype="fp32")
    assert list(read_results(tmp_path).tasks) == ["letters"]
    assert f"{tmp_path} has the results of letters; the rest is not measured" in caplog.text


def test_a_damaged_row_of_the_last_task_is_said_before_anything_is_asked(base, tmp_path):
    file = write(tmp_path / "q.jsonl", '{"question": "a", "answer": "1"}\n{"answer": "2"}\n')
    with pytest.raises(DataError, match=r"q\.jsonl:2"):
        evaluate(
            base,
            [f"{__file__.replace('test_earlier', 'own_tasks')}:Letters", str(file)],
            out=tmp_path / "out",
            dtype="fp32",
        )
    kept = (tmp_path / "out" / "answers.jsonl").read_text().splitlines()
    assert [line for line in kept if '"token budget ' not in line] == []
