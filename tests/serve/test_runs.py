"""GET /xtune/runs…: the log's own numbers, the batch's own labels, and nothing else of the disk."""

from __future__ import annotations

import json
import os
import time

import pytest

from tests.runs import metrics, sheet_of
from tests.serve.runs_server import copy_of_runs, run_with, runs_served
from xtune.data.dataset import SFTDataset
from xtune.data.preferences import PreferenceDataset
from xtune.models import load_tokenizer
from xtune.registry import DATASETS, build
from xtune.serve.page.evaluations import evaluations_below


@pytest.fixture(scope="module")
def ask(runs):
    with runs_served(runs) as ask:
        yield ask


def get(ask, path):
    status, answer = ask(path)
    assert status == 200, answer
    return answer


def refused(ask, path):
    status, answer = ask(path)
    return status, answer["error"]["code"], answer["error"]["message"]


def dataset_of(inputs, run_name, runs):
    """What the run trained on, built as training does."""
    from xtune.config import render

    sheet = render(runs / run_name / "config.py")
    tokenizer = load_tokenizer(**sheet.values["tokenizer"])
    return build(DATASETS, sheet.values["train_dataset"], tokenizer=tokenizer)


def test_the_list_has_the_runs_the_newest_first_and_nothing_else(ask, runs):
    answer = get(ask, "/xtune/runs")
    assert answer["folder"] == str(runs)
    assert [run["name"] for run in answer["runs"]] == ["dpo", "sft"]
    for run, config in zip(answer["runs"], ("custom_dpo_lora", "custom_sft_lora"), strict=True):
        assert (run["config"], run["state"], run["why"]) == (config, "finished", "")
        assert (run["step"], run["max_steps"]) == (4, 4)
        assert run["loss"] == metrics(runs / run["name"])[-1]["loss"]
        assert run["began"] <= run["changed"] + 1


def test_without_a_folder_and_before_the_first_run_there_are_none(tmp_path):
    with runs_served(None) as ask:
        assert get(ask, "/xtune/runs") == {"folder": None, "runs": []}
        assert get(ask, "/xtune/evaluations") == {"evaluations": []}
        assert refused(ask, "/xtune/runs/x/curves")[:2] == (404, "not_found")
    later = tmp_path / "work_dirs"
    with runs_served(later) as ask:
        assert get(ask, "/xtune/runs") == {"folder": str(later), "runs": []}
        run_with(later / "first", ['{"step": 1, "loss": 2.5}'])
        assert [run["name"] for run in get(ask, "/xtune/runs")["runs"]] == ["first"]


def test_curves_are_the_numbers_of_the_log(ask, runs):
    answer = get(ask, "/xtune/runs/sft/curves")
    rows = metrics(runs / "sft")
    assert {"loss", "lr", "grad_norm", "tokens_per_s", "val_loss"} <= set(answer["names"])
    assert "time" not in answer["names"]
    assert (answer["thinned"], answer["mean_of"]) == (None, 1)
    for name in answer["names"]:
        here = [row for row in rows if name in row]
        assert answer["curves"][name] == {
            "of": len(here),
            "steps": [row["step"] for row in here],
            "values": [row[name] for row in here],
        }
    assert answer["run"]["name"] == "sft"


def test_a_preference_runs_own_curves_are_there_and_names_choose(ask, runs):
    wanted = "/xtune/runs/dpo/curves?names=reward_margin,val_nothing"
    answer = get(ask, wanted)
    assert "reward_accuracy" in answer["names"]
    assert list(answer["curves"]) == ["reward_margin"]
    values = [row["reward_margin"] for row in metrics(runs / "dpo")]
    assert answer["curves"]["reward_margin"]["values"] == values


def test_what_is_not_finite_is_null_and_stands_at_its_step(tmp_path):
    lines = ['{"step": 1, "loss": 2.5}', '{"step": 2, "loss": NaN}', '{"step": 3, "loss": null}']
    run_with(tmp_path / "x", [*lines, '{"step": 4, "loss": -Infinity}'])
    with runs_served(tmp_path) as ask:
        answer = get(ask, "/xtune/runs/x/curves")
        assert answer["curves"]["loss"]["values"] == [2.5, None, None, None]
        assert answer["curves"]["loss"]["steps"] == [1, 2, 3, 4]
        (run,) = get(ask, "/xtune/runs")["runs"]
        assert (run["step"], run["loss"], run["config"]) == (4, None, None)


def test_a_run_in_progress_is_read_to_its_last_whole_line(tmp_path):
    run_with(tmp_path / "x", ['{"step": 1, "loss": 2.5}', '{"step": 2, "lo'], end="")
    with runs_served(tmp_path) as ask:
        assert get(ask, "/xtune/runs/x/curves")["curves"]["loss"]["steps"] == [1]
        with (tmp_path / "x" / "metrics.jsonl").open("a") as file:
            file.write('ss": 2.0}\n')
        answer = get(ask, "/xtune/runs/x/curves")
        assert answer["curves"]["loss"] == {"of": 2, "steps": [1, 2], "values": [2.5, 2.0]}
        assert answer["run"]["state"] == "training"  # its log has just grown
        old = time.time() - 600
        for path in (tmp_path / "x").iterdir():
            os.utime(path, (old, old))
        assert get(ask, "/xtune/runs/x/curves")["run"]["state"] == "unknown"


def test_100_000_steps_are_thinned_and_no_peak_is_lost(tmp_path):
    def loss(step):
        return {70_001: 50.0, 70_500: -3.0}.get(step, 2.0 + (step % 7) / 8)

    lines = [f'{{"step": {s}, "loss": {loss(s)}}}' for s in range(1, 100_001)]
    lines[12_344] = '{"step": 12345, "loss": null}'
    run_with(tmp_path / "x", lines)
    with runs_served(tmp_path) as ask:
        answer = get(ask, "/xtune/runs/x/curves?points=200")
        curve = answer["curves"]["loss"]
        assert curve["of"] == 100_000
        assert 200 <= len(curve["steps"]) <= 210
        assert "lowest" in answer["thinned"]
        assert curve["steps"] == sorted(set(curve["steps"]))
        assert (curve["steps"][0], curve["steps"][-1]) == (1, 100_000)
        points = dict(zip(curve["steps"], curve["values"], strict=True))
        assert (points[70_001], points[70_500], points[12_345]) == (50.0, -3.0, None)
        assert all(v is None or v == loss(s) for s, v in points.items())


def test_a_mean_is_of_the_last_steps_that_are_finite(tmp_path):
    values = [4, 2, 0, "null", 6, 1e30, 1, 1, 1, 1]
    run_with(tmp_path / "x", [f'{{"step": {n}, "loss": {v}}}' for n, v in enumerate(values)])
    with runs_served(tmp_path) as ask:
        curve = get(ask, "/xtune/runs/x/curves?mean_of=3")["curves"]["loss"]
        expected = [4, 3, 2, None, 3, 1e30 / 2 + 3, 1e30 / 3, 1e30 / 3, 1, 1]
        assert curve["values"] == pytest.approx(expected)
        whole = get(ask, "/xtune/runs/x/curves?mean_of=10000")["curves"]["loss"]
        assert whole["values"][:3] == [4, 3, 2]


def test_rows_have_the_tokens_labels_and_sources_that_training_has(ask, runs, inputs):
    answer = get(ask, "/xtune/runs/sft/data?limit=50")
    dataset = dataset_of(inputs, "sft", runs)
    assert isinstance(dataset, SFTDataset)
    about = answer["about"]
    assert about["rows"] == answer["matching"] == 48 + 2 * 6
    assert [(s["name"], s["rows"]) for s in about["sources"]] == [
        (str(inputs.data), 48),
        (str(inputs.val), 12),
    ]
    assert about["tokens"] == dataset.tokens
    assert about["trained_tokens"] == dataset.trained_tokens
    assert sum(about["lengths"]["rows"]) == 60
    assert about["special_ids"] == [0, 1, 2]
    assert [row["row"] for row in answer["rows"]] == list(range(50))
    second = get(ask, "/xtune/runs/sft/data?limit=50&offset=50")["rows"]
    rows = [*answer["rows"], *second]
    assert len(rows) == 60
    shown = {}
    for row in rows:
        (document,) = row["documents"]
        assert row["tokens"] == len(document["tokens"])
        ids = [token["id"] for token in document["tokens"]]
        labels = [token["id"] if token["trained"] else -100 for token in document["tokens"]]
        shown[document["sample"]] = (ids, labels)
        assert {token["weight"] for token in document["tokens"]} == {1.0}
    # what a step is given: the same documents end to end, labels one place earlier
    for index in range(len(dataset)):
        batch = dataset.batch([index])
        bounds = batch.cu_seqlens.tolist()
        for place, sample in enumerate(batch.samples):
            part = slice(bounds[place], bounds[place + 1])
            ids, labels = shown[sample]
            assert batch.input_ids[0, part].tolist() == ids
            assert batch.labels[0, part].tolist() == [*labels[1:], -100]
    text = "".join(token["text"] for token in rows[0]["documents"][0]["tokens"])
    first = json.loads(inputs.data.read_text().splitlines()[0])["messages"]
    assert all(message["content"] in text for message in first)


def test_rows_can_be_chosen_and_sorted(ask, inputs):
    longest = get(ask, "/xtune/runs/sft/data?order=longest&limit=50")
    lengths = [row["tokens"] for row in longest["rows"]]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > lengths[-1]
    of_val = get(ask, f"/xtune/runs/sft/data?source={inputs.val}&limit=50")
    assert of_val["matching"] == 12
    assert {row["source"] for row in of_val["rows"]} == {str(inputs.val)}
    none = get(ask, "/xtune/runs/sft/data?untrained=true")
    assert (none["matching"], none["rows"], none["about"]["untrained_rows"]) == (0, [], 0)
    assert get(ask, "/xtune/runs/sft/data?offset=999")["rows"] == []
    validation = get(ask, "/xtune/runs/sft/data?part=validation")
    assert (validation["about"]["rows"], validation["parts"]) == (6, ["train", "validation"])


def test_a_pairs_answers_stand_next_to_each_other(ask, runs, inputs):
    answer = get(ask, "/xtune/runs/dpo/data?limit=3")
    dataset = dataset_of(inputs, "dpo", runs)
    assert isinstance(dataset, PreferenceDataset)
    assert answer["about"]["rows"] == 48
    for row in answer["rows"]:
        chosen, rejected = row["documents"]
        assert (chosen["side"], rejected["side"]) == (0, 1)
        assert row["tokens"] == len(chosen["tokens"]) + len(rejected["tokens"])
        for document in row["documents"]:
            sample = dataset.sample(document["sample"])
            assert [token["id"] for token in document["tokens"]] == sample.input_ids.tolist()


def test_weights_and_special_text_are_those_of_the_cache(tmp_path, inputs):
    from xtune.engine.runner import Runner

    settings = ["max_steps=1", "train_dataset.loss_weights={'answer': 0.5}"]
    Runner(sheet_of(inputs, *settings), work_dir=tmp_path / "weighed").train()
    with runs_served(tmp_path) as ask:
        tokens = get(ask, "/xtune/runs/weighed/data?limit=1")["rows"][0]["documents"][0]["tokens"]
    trained = [token for token in tokens if token["trained"]]
    assert {token["weight"] for token in trained} == {0.5}
    assert trained[-1]["text"] == "<|im_end|>" or tokens[-1]["trained"]


def test_a_run_whose_data_cannot_be_shown_says_why(tmp_path, runs, monkeypatch):
    copied = copy_of_runs(runs, tmp_path / "runs")
    with runs_served(copied) as ask:
        (copied / "dpo" / "run.json").write_text("{")
        assert refused(ask, "/xtune/runs/dpo/data")[:2] == (409, "no_token_cache")
        assert "xtune log-dataset" in refused(ask, "/xtune/runs/dpo/data")[2]
        assert "validation" in refused(ask, "/xtune/runs/sft/data?part=train,validation")[2]
        record = json.loads((copied / "sft" / "run.json").read_text())
        record["data"]["train"][0]["key"] = "../../etc"
        (copied / "sft" / "run.json").write_text(json.dumps(record))
        status, code, said = refused(ask, "/xtune/runs/sft/data")
        assert (status, code) == (409, "unreadable")
        assert "XTUNE_CACHE" in said
    monkeypatch.setenv("XTUNE_CACHE", str(tmp_path / "elsewhere"))
    with runs_served(runs) as ask:
        assert str(tmp_path / "elsewhere") in refused(ask, "/xtune/runs/sft/data")[2]
    assert not (tmp_path / "elsewhere").exists()


def test_a_run_with_another_tokenizer_is_not_shown_with_the_wrong_words(tmp_path, runs):
    copied = copy_of_runs(runs, tmp_path / "runs")
    record = json.loads((copied / "sft" / "run.json").read_text())
    (copied / "sft" / "run.json").write_text(json.dumps({**record, "vocabulary": "other"}))
    with runs_served(copied) as ask:
        assert "tokenizer" in refused(ask, "/xtune/runs/sft/data")[2]


def test_evaluations_have_their_headlines(ask):
    found = {each["id"]: each for each in get(ask, "/xtune/evaluations")["evaluations"]}
    assert list(found) == [
        *("sft/report", "sft/evaluation/after", "evaluation/llama", "judge/a-b", "score/rm"),
    ]
    assert found["sft/report"] == {
        "id": "sft/report",
        "run": "sft",
        "kind": "comparison",
        "title": "sft, before and after",
        "date": "2026-11-30 12:00",
        "scores": [{"name": "toolcall", "metric": "exact", "before": 0.25, "after": 0.75, "n": 8}],
        "has_page": True,
    }
    assert [(e["kind"], e["run"], e["has_page"]) for e in found.values()][1:] == [
        ("measurement", "sft", False),
        ("measurement", None, True),
        ("judgement", None, True),
        ("scores", None, True),
    ]
    assert [s["after"] for s in found["judge/a-b"]["scores"]] == [75.0, 25.0]
    assert found["score/rm"]["scores"][0]["after"] == 0.875
    own = get(ask, "/xtune/runs/sft/evaluations")["evaluations"]
    assert [each["id"] for each in own] == ["sft/report", "sft/evaluation/after"]


def test_real_results_are_understood(tmp_path):
    from tests.eval.results import comparison, row

    folder = tmp_path / "x" / "report"
    folder.mkdir(parents=True)
    made = comparison([row(), row()], [row(right=True), row()])
    (folder / "results.json").write_text(json.dumps(made.to_dict()))
    (found,) = evaluations_below(tmp_path / "x", tmp_path)
    task = made.tasks[0]
    before, after = made.of(task)
    assert (found["kind"], found["title"]) == ("comparison", made.title)
    first = found["scores"][0]
    assert (first["name"], first["before"], first["after"]) == (task, before.score, after.score)


def test_a_report_can_ask_for_nothing(ask):
    status, page = ask("/xtune/evaluations/sft/report/report.html")
    assert status == 200
    assert "the script has run" in page
    policy = ask.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none';")
    assert "allow-same-origin" not in policy
    assert ask.headers["x-content-type-options"] == "nosniff"
    assert ask.headers["content-type"] == "text/html; charset=utf-8"


ELSEWHERE = [
    "/xtune/evaluations/sft/evaluation/after/report.html",  # has none
    "/xtune/evaluations/sft/report.html",
    "/xtune/evaluations/sft/checkpoints/latest/report.html",
    "/xtune/evaluations/sft/report/../report/report.html",
    "/xtune/evaluations/%2e%2e/secret/report.html",
    "/xtune/evaluations/../secret/report.html",
    "/xtune/evaluations//etc/report.html",
    "/xtune/evaluations/sft/report/results.json",
    "/xtune/evaluations/linked/report/report.html",
    "/xtune/evaluations/sft/linked/report.html",
    "/xtune/evaluations/sft/stolen/report.html",
    "/xtune/runs/../secret/curves",
    "/xtune/runs/%2e%2e%2fsecret/curves",
    "/xtune/runs/sft%2freport/curves",
    "/xtune/runs/sft/report/curves",
    "/xtune/runs/linked/curves",
    "/xtune/runs/linked/data",
    "/xtune/runs/.hidden/curves",
    "/xtune/runs/report.html/curves",
    "/xtune/runs/evaluation/curves",
    "/xtune/runs/%00/curves",
    "/xtune/runs/sft/curves/",
    "/xtune/runs/sft/config.py",
]


def test_nothing_outside_of_the_folder_and_no_other_file_is_served(tmp_path, runs):
    copied = copy_of_runs(runs, tmp_path / "runs")
    run_with(tmp_path / "secret", ['{"step": 1, "loss": 1}'])
    (tmp_path / "secret" / "report.html").write_text("SECRET")
    (copied / "linked").symlink_to(tmp_path / "secret")
    (copied / "sft" / "linked").symlink_to(tmp_path / "secret")
    (copied / "sft" / "stolen").mkdir()
    (copied / "sft" / "stolen" / "report.html").symlink_to(tmp_path / "secret" / "report.html")
    run_with(copied / ".hidden", ['{"step": 1, "loss": 1}'])
    with runs_served(copied) as ask:
        for path in ELSEWHERE:
            status, answer = ask(path)
            assert status == 404, path
            assert answer["error"]["code"] == "not_found", path
        assert [run["name"] for run in get(ask, "/xtune/runs")["runs"]] == ["dpo", "sft"]
        (copied / "sft" / "metrics.jsonl").unlink()
        (copied / "sft" / "metrics.jsonl").symlink_to(tmp_path / "secret" / "metrics.jsonl")
        assert get(ask, "/xtune/runs/sft/curves")["curves"] == {}


def test_broken_folders_do_not_hide_the_others(tmp_path, runs):
    copied = copy_of_runs(runs, tmp_path / "runs")
    (copied / "empty").mkdir()
    (copied / "file").write_text("")
    broken = copied / "broken"
    (broken / "evaluation").mkdir(parents=True)
    (broken / "config.py").write_text("raise SystemExit('executed')")
    (broken / "metrics.jsonl").mkdir()
    (broken / "run.json").write_text('{"format_version": 1, "config": 3}')
    (broken / "evaluation" / "results.json").write_text('{"tasks": {"x": 3}, "verdicts": null}')
    (broken / "evaluation" / "report.html").mkdir()
    with runs_served(copied) as ask:
        listed = {run["name"]: run for run in get(ask, "/xtune/runs")["runs"]}
        assert sorted(listed) == ["broken", "dpo", "sft"]
        assert (listed["broken"]["step"], listed["broken"]["loss"]) == (0, None)
        assert get(ask, "/xtune/runs/broken/curves")["names"] == []
        assert refused(ask, "/xtune/runs/broken/data")[:2] == (409, "no_token_cache")
        (found,) = get(ask, "/xtune/runs/broken/evaluations")["evaluations"]
        assert (found["kind"], found["scores"], found["has_page"]) == ("unknown", [], False)


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/xtune/runs?all=1", "all"),
        ("/xtune/runs/sft/curves?points=5", "points"),
        ("/xtune/runs/sft/curves?points=many", "points"),
        ("/xtune/runs/sft/curves?points=-1", "points"),
        ("/xtune/runs/sft/curves?mean_of=0", "mean_of"),
        ("/xtune/runs/sft/curves?name=loss", "name"),
        ("/xtune/runs/sft/data?limit=0", "limit"),
        ("/xtune/runs/sft/data?limit=51", "limit"),
        ("/xtune/runs/sft/data?limit=1&limit=2", "limit"),
        ("/xtune/runs/sft/data?order=shortest", "order"),
        ("/xtune/runs/sft/data?source=nobody", "source"),
        ("/xtune/runs/sft/data?part=test", "part"),
        ("/xtune/runs/sft/data?untrained=yes", "untrained"),
        ("/xtune/evaluations?x=1", "x"),
    ],
)
def test_a_query_is_honoured_or_refused_by_name(ask, path, param):
    status, answer = ask(path)
    assert (status, answer["error"]["param"]) == (400, param)


def test_all_of_it_asks_for_the_key(runs):
    with runs_served(runs, keys=("secret",)) as ask:
        paths = ["", "/sft/curves", "/sft/data", "/sft/evaluations"]
        for path in [*(f"/xtune/runs{p}" for p in paths), "/xtune/evaluations"]:
            assert refused(ask, path)[:2] == (401, "invalid_api_key")
        assert ask("/xtune/evaluations/sft/report/report.html")[0] == 401
        assert ask("/xtune/runs", {"Authorization": "Bearer secret"})[0] == 200
