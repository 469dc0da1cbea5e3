"""Asking a judge over HTTP: retries, back-off, budgets, refusals, and never twice the same."""

from __future__ import annotations

import json

import pytest

from tests.eval.judge.judging import judging
from xtune.errors import DataError, ModelError, UsageError
from xtune.eval.judge.answers import Item
from xtune.eval.judge.ask import ask_missing, cost_of
from xtune.eval.judge.open_judge import open_judge
from xtune.eval.judge.prompts import load_prompts
from xtune.eval.judge.remote_judge import RemoteJudge
from xtune.eval.judge.requests import request_for
from xtune.eval.judge.single import judge_single
from xtune.eval.judge.verdict_store import VerdictStore


def items(count):
    return [Item(str(at), (f"Question {at}?",), (f"Answer {at}",)) for at in range(count)]


def ratings(count):
    prompts = load_prompts(None, "rating", 1)
    return [request_for(prompts, ("m",), (item,)) for item in items(count)]


def test_scores_of_single_answers_and_nothing_asked_twice(tmp_path):
    with judging(lambda body, number: (200, "Good. [[7]]")) as server:
        judge = RemoteJudge(server.url, concurrency=3)
        verdicts = tmp_path / "v.jsonl"
        assert judge_single(items(5), judge, verdicts=verdicts) == [7.0] * 5
        assert judge_single(items(6), judge, verdicts=verdicts) == [7.0] * 6
        assert len(server.asked) == 6
        assert {body["temperature"] for body in server.asked} == {0.0}
        other = RemoteJudge(server.url, "other", concurrency=1)  # another judge knows nothing
        judge_single(items(1), other, verdicts=verdicts)
        assert [body["model"] for body in server.asked] == ["big"] * 6 + ["other"]


def test_what_is_out_of_form_is_asked_again_three_times_then_left_out(tmp_path):
    def judge(body, number):
        text = body["messages"][-1]["content"]
        if "Question 0?" in text:
            return 200, "[[8]]" if body["temperature"] else "Eight!"
        return 200, "no idea" if "Question 1?" in text else "[[5]]"

    with judging(judge) as server:
        scores = judge_single(
            items(3), RemoteJudge(server.url, concurrency=1), verdicts=tmp_path / "v.jsonl"
        )
    assert scores == [8.0, None, 5.0]
    asked = [
        [(body["temperature"], body["seed"]) for body in server.asked if f"on {at}?" in str(body)]
        for at in range(3)
    ]
    assert asked == [
        [(0.0, 0), (0.3, 1)],
        [(0.0, 0), (0.3, 1), (0.3, 2), (0.3, 3)],
        [(0.0, 0)],
    ]
    lines = [json.loads(line) for line in (tmp_path / "v.jsonl").read_text().splitlines()]
    assert [line["status"] for line in lines if line["question"] == "1"] == ["invalid"] * 4
    assert lines[0]["raw"] == "Eight!"
    assert (lines[0]["judge"], lines[0]["shown"]) == (f"big at {server.url}", ["model"])


def test_429_503_and_torn_answers_are_waited_for(tmp_path):
    waited = []

    def judge(body, number):
        return {1: (429, "slow down"), 2: (503, "busy"), 3: (500, "oops")}.get(
            number, (200, "[[5]]")
        )

    with judging(judge) as server:
        judge = RemoteJudge(server.url, concurrency=1, wait=waited.append)
        assert judge_single(items(1), judge, verdicts=tmp_path / "v.jsonl") == [5.0]
    assert waited[:2] == [0.0, 0.0]  # as the server's Retry-After says
    assert 3 <= waited[2] <= 5  # 4 s, spread
    assert len(server.asked) == 4


@pytest.mark.parametrize(("status", "calls"), [(401, 1), (404, 1), (500, 8)])
def test_a_server_that_will_not_is_given_up(status, calls, tmp_path):
    with judging(lambda body, number: (status, "no")) as server:
        judge = RemoteJudge(server.url, concurrency=1, wait=lambda seconds: None)
        with pytest.raises(ModelError, match=f"answered {status}"):
            judge_single(items(3), judge, verdicts=tmp_path / "v.jsonl")
    assert len(server.asked) == calls


def test_one_refused_request_is_counted_and_the_others_go_on(tmp_path):
    def judge(body, number):
        refused = "Question 1?" in body["messages"][-1]["content"]
        return (400, "too long") if refused else (200, "[[5]]")

    store = VerdictStore(tmp_path / "v.jsonl")
    with judging(judge) as server:
        judge = RemoteJudge(server.url, concurrency=1)
        assert ask_missing(ratings(3), judge, store) == 1
        again = VerdictStore(tmp_path / "v.jsonl")
        cost = cost_of(ratings(3), judge, again)  # the cause may be gone: it is asked again
    assert (cost.requests, cost.known, cost.calls, cost.most) == (3, 2, 1, 4)
    assert "too long" in (tmp_path / "v.jsonl").read_text()


def test_a_judge_that_never_answers_in_form_is_given_up_early(tmp_path):
    with judging(lambda body, number: (200, "I would rather not.")) as server:
        judge = RemoteJudge(server.url)
        with pytest.raises(ModelError) as error:
            judge_single(items(50), judge, verdicts=tmp_path / "v.jsonl")
    assert "answered 32 times and never in the form" in str(error.value)
    assert "begins: I would rather not." in str(error.value)
    assert len(server.asked) == 32  # 8 requests, each 4 times
    assert len((tmp_path / "v.jsonl").read_text().splitlines()) == 32


def test_a_budget_is_kept(tmp_path):
    with judging(lambda body, number: (200, "[[5]]" if number < 4 else "no")) as server:
        judge = RemoteJudge(server.url, concurrency=1)
        verdicts = tmp_path / "v.jsonl"
        with pytest.raises(UsageError, match="6 calls of the judge are needed and --max"):
            judge_single(items(6), judge, verdicts=verdicts, max_calls=5)
        assert server.asked == []
        with pytest.raises(ModelError, match="7 are used up, with 3 requests still without"):
            judge_single(items(6), judge, verdicts=verdicts, max_calls=7)
        assert len(server.asked) == 7


def test_a_torn_last_line_is_dropped_and_another_file_refused(tmp_path):
    path = tmp_path / "v.jsonl"
    with judging(lambda body, number: (200, "[[5]]")) as server:
        judge = RemoteJudge(server.url, concurrency=1)
        judge_single(items(2), judge, verdicts=path)
        whole = path.read_bytes()
        path.write_bytes(whole + whole[:40])
        assert judge_single(items(3), judge, verdicts=path) == [5.0] * 3
        assert len(server.asked) == 3
    assert path.read_bytes().startswith(whole)
    assert path.read_text().count("\n") == 3
    path.write_text('{"question": 1}\n')
    with pytest.raises(DataError, match=r"v\.jsonl:1 is no verdict"):
        VerdictStore(path)


def test_the_key_comes_from_the_environment_and_is_written_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with judging(lambda body, number: (200, "[[5]]")) as server:
        judge_single(items(1), RemoteJudge(server.url), verdicts=tmp_path / "v.jsonl")
        assert server.keys == {"Bearer sk-secret"}
    assert "sk-secret" not in (tmp_path / "v.jsonl").read_text()
    with pytest.raises(UsageError, match="give a key by OPENAI_API_KEY alone"):
        RemoteJudge("http://user:key@127.0.0.1/v1")


def test_a_served_model_is_for_urls():
    with pytest.raises(UsageError, match="--served-model is for a URL"):
        open_judge("owner/name", served_model="x", max_new_tokens=1, concurrency=1)
