"""`xtune judge` against a judge that really listens: files, table, page, killed and gone on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.eval.judge.judging import judging, shown_answers, write_rows
from xtune.cli.entry import main

ROOT = Path(__file__).resolve().parents[2]


def by_length(body, number):
    """The longer answer is better, and the first place is worth a point."""
    first, second = map(len, shown_answers(body))
    return 200, "9 5\nlonger" if first > second else "6 8\nshorter"


@pytest.fixture
def files(tmp_path):
    questions = [f"Question {at}?" for at in range(6)]
    one = [
        {"question": q, "answer": "a long answer" if at else "x"} for at, q in enumerate(questions)
    ]
    other = [{"instruction": q, "output": "short" if at else "<b>ten</b> 10 10"}
             for at, q in enumerate(questions)]  # fmt: skip
    return [
        write_rows(tmp_path / "one.jsonl", [*one, {"question": "alone", "answer": "y"}]),
        write_rows(tmp_path / "other.jsonl", other),
    ]


def judge(files, server, out, *words):
    return main(["judge", *files, "--judge", server.url, "--out", str(out), *words])


def test_two_files(files, tmp_path, capsys):
    out = tmp_path / "out"
    with judging(by_length) as server:
        assert judge(files, server, out, "--baseline", "other") == 0
    shown, notes = capsys.readouterr()
    assert "12 calls with" in notes
    assert "up to 48 calls if answers are out of form; 0 of 12 verdicts are known" in notes
    assert shown.splitlines()[:4] == [
        "| model | against | general | micro | macro |",
        "| --- | --- | ---: | ---: | ---: |",
        "| one | other | 8.00 | 8.00 | 8.00 |",  # (5 x 8.5 + 5.5) / 6
        "| other | one | 6.00 | 6.00 | 6.00 |",  # (5 x 5.5 + 8.5) / 6
    ]
    assert "| one | other | 5 | 0 | 1 | 83.3 % |" in shown
    assert "Score as share of other's: one 133.3 %." in shown
    assert (
        "Position bias: the winner flips in 0.0 % of 6 matches; the first place gets +1.00" in shown
    )
    assert "- one and other do not share 1 questions: alone: only in" in shown
    assert "- 1 answers contain what a verdict looks like" in shown
    results = json.loads((out / "results.json").read_text())
    assert results["verdicts"]["in_form"] == 12
    assert results["position_bias"] == {"flipped": 0.0, "first_place": 1.0, "matches": 6}
    assert [m["outcome"] for m in results["matches"]] == [0.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    lines = [json.loads(line) for line in (out / "verdicts.jsonl").read_text().splitlines()]
    assert len(lines) == 12
    assert {tuple(line["shown"]) for line in lines} == {("one", "other"), ("other", "one")}
    page = (out / "report.html").read_text()
    assert "&lt;b&gt;ten&lt;/b&gt; 10 10" in page
    assert "<b>ten" not in page
    assert page.count("<article") == 6
    assert "looks like a verdict" in page
    assert "http" not in page.replace(server.url, "")  # it needs no network


def test_a_run_that_is_killed_goes_on_and_is_as_if_never_killed(files, tmp_path):
    held, release = threading.Event(), threading.Event()

    def slow(body, number):
        if number == 5:
            held.set()
            release.wait(30)
        return by_length(body, number)

    killed, straight = tmp_path / "killed", tmp_path / "straight"
    with judging(slow) as server:
        words = ["judge", *files, "--judge", server.url, "--out", str(killed)]
        program = [sys.executable, "-m", "xtune.cli.entry", *words, "--concurrency", "1"]
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(program, env=env, stderr=subprocess.DEVNULL)
        assert held.wait(60)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        release.set()
        kept = (killed / "verdicts.jsonl").read_text().splitlines()
        assert len(kept) == 4
        server.asked.clear()
        server.judge = by_length
        assert judge(files, server, killed) == 0
        assert len(server.asked) == 12 - 4
        server.asked.clear()
        assert judge(files, server, killed) == 0
        assert server.asked == []
        assert judge(files, server, straight) == 0
    for name in ("results.json",):
        both = [json.loads((out / name).read_text()) for out in (killed, straight)]
        for values in both:
            del values["date"]
        assert both[0] == both[1]


def test_three_files_and_errors_on_the_way(tmp_path, capsys):
    files = [
        write_rows(
            tmp_path / f"{name}.jsonl",
            [{"id": at, "question": f"q{at}", "answer": "y" * (10 * rank + at), "category": kind}
             for at, kind in enumerate(["math", "code", "writing", "writing"])],
        )
        for rank, name in enumerate("abc", 1)
    ]  # fmt: skip

    def judge_(body, number):
        if number % 5 == 0:
            return 429, "wait"
        if number % 7 == 0:
            return 200, "garbage"
        first, second = map(len, shown_answers(body))
        math = "tuple" in str(body)
        scores = (9, 4) if first > second else (4, 9)
        return 200, str(scores) if math else f"{scores[0]} {scores[1]}"

    with judging(judge_) as server:
        assert judge(files, server, tmp_path / "out", "--max-judge-calls", "60") == 0
    shown = capsys.readouterr().out
    assert "| model | against | general | math | coding | micro | macro |" in shown
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert [m["model"] for m in results["ratings"]["models"]] == ["c", "b", "a"]
    assert [m["win_rate"] for m in results["ratings"]["models"]] == [1.0, 0.5, 0.0]
    assert results["verdicts"]["in_form"] == 24
    assert results["verdicts"]["retried"] > 0
    assert set(results["scores"][0]["by_category"]) == {"math", "code", "writing"}


def test_one_file_alone_and_fewer_rows(files, tmp_path, capsys):
    with judging(lambda body, number: (200, "[[6]]")) as server:
        assert judge(files[:1], server, tmp_path / "out", "--rows", "2") == 0
        assert len(server.asked) == 2
    shown = capsys.readouterr().out
    assert "| one |  | 6.00 | 6.00 | 6.00 |" in shown
    assert "partial: --rows took evenly spaced questions of 7" in shown


def test_ratings_of_two_files_are_compared_with_a_tie_within_a_tenth(files, tmp_path):
    def judge_(body, number):
        return 200, "[[7]]" if shown_answers(body) == ["a long answer"] else "[[6.95]]"

    with judging(judge_) as server:
        assert judge(files, server, tmp_path / "out", "--ask", "rating") == 0
        assert len(server.asked) == 12
    (pair,) = json.loads((tmp_path / "out/results.json").read_text())["pairs"]
    assert (pair["wins"], pair["ties"], pair["losses"]) == (0, 6, 0)


def test_winners_need_both_orders(files, tmp_path, capsys):
    with judging(lambda body, number: (200, "[[A]]")) as server:
        assert judge(files, server, tmp_path / "out", "--ask", "winner") == 0
    shown = capsys.readouterr().out
    assert "| one | other | 0 | 6 | 0 | 50.0 % | 50.0 % |" in shown
    assert "the winner flips in 100.0 % of 6 matches; the first place gets +1.00 of all" in shown
    assert "it may be all that parts them" in shown


def test_a_judge_that_never_answers_in_form(files, tmp_path, capsys):
    with judging(lambda body, number: (200, "Both are lovely.")) as server:
        assert judge(files, server, tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert "never in the form that it was asked for (a b)" in said
    assert f"All answers are in {tmp_path}/out/verdicts.jsonl" in said
    assert (tmp_path / "out/verdicts.jsonl").read_text().count("\n") == 32


def test_verdicts_that_part_the_models_leave_no_ratings(tmp_path, capsys):
    files = [
        write_rows(tmp_path / f"{name}.jsonl", [{"question": "q", "answer": name * 3}])
        for name in "abc"
    ]

    def judge_(body, number):
        return 200, "8 6" if set(shown_answers(body)) == {"aaa", "bbb"} else "neither"

    with judging(judge_) as server:
        assert judge(files, server, tmp_path / "out") == 1
    shown = capsys.readouterr().out
    assert "left-out verdicts part the models into islands: a, b | c" in shown
    assert "4 requests had no verdict in form in 4 attempts" in shown


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["{one}", "{other}", "--judge", "http://127.0.0.1:9/v1", "--served-model", "x",
          "--rows", "0"], 2, "--rows 0: give 1 or more"),
        (["{one}", "{far}", "--judge", "smollm2"], 2, "that share no question: one | far"),
        (["{one}", "nowhere.jsonl", "--judge", "smollm2"], 2, "no file of answers 'now"),
        (["{one}", "{other}", "--judge", "smollm2", "--baseline", "oen"], 2, "did you mean 'one'"),
        (["{one}", "--judge", "smollm2", "--ask", "scores"], 2, "give two files of answers"),
        (["{one}", "{other}"], 2, "required: --judge"),
        (["{one}", "{other}", "--judge", "no/such/model"], 2, "no/such/model"),
    ],
)  # fmt: skip
def test_misuse(words, code, said, files, tmp_path, capsys):
    far = write_rows(tmp_path / "far.jsonl", [{"question": "elsewhere", "answer": "z"}])
    words = [word.format(one=files[0], other=files[1], far=far) for word in words]
    assert main(["judge", *words, "--out", str(tmp_path / "out")]) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
