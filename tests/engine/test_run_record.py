"""run.json: what a run says of itself, while it trains and however it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.runs import sheet_of, train
from xtune.data.mixed_caches import CachedSource, MixedCaches
from xtune.engine.hooks.base import Hook
from xtune.engine.identity import vocabulary_digest
from xtune.engine.run_record import RECORD, RunRecord, read_record
from xtune.engine.runner import Runner

RECORDED = RunRecord(
    config="mine",
    began=1.5,
    pid=os.getpid(),
    host=socket.gethostname(),
    max_steps=4,
    tokenizer="smollm2",
    vocabulary="ab",
    data={},
)


def test_a_run_says_what_it_reads_and_that_it_has_finished(inputs, tmp_path):
    run = train(inputs, tmp_path / "run", "max_steps=2", f"val_data_path={inputs.val}")
    record = read_record(tmp_path / "run" / RECORD)
    assert (record.state, record.why, record.max_steps) == ("finished", "", 2)
    assert record.config == "custom_sft_lora"
    assert (record.pid, record.host) == (os.getpid(), socket.gethostname())
    assert record.tokenizer == str(inputs.model)
    assert record.vocabulary == vocabulary_digest(run.tokenizer)
    assert record.began < record.ended
    assert sorted(record.data) == ["train", "validation"]
    (noted,) = record.data["train"]
    assert noted == {
        "name": str(inputs.data),
        "key": run.train_dataset.sources[0].key,
        "epochs": None,
        "weight": None,
        "seed": 0,
    }
    read = MixedCaches.read([CachedSource(**noted)])
    assert len(read.lengths) == 48
    for index in (0, 47):
        ours, theirs = read.sample(index), run.train_dataset.sample(index)
        assert ours.input_ids.tolist() == theirs.input_ids.tolist()
        assert ours.labels.tolist() == theirs.labels.tolist()


def test_while_it_trains_it_says_so_and_then_what_stopped_it(inputs, tmp_path, monkeypatch):
    seen = []

    class Stops(Hook):
        def after_train_iter(self, run, metrics):
            seen.append(read_record(run.work_dir / RECORD).state)
            os.kill(os.getpid(), signal.SIGINT)

    runner = Runner(sheet_of(inputs, "max_steps=4"), work_dir=tmp_path / "run")
    monkeypatch.setattr(
        "xtune.engine.runner.build_hooks", lambda cfg: {"stops": Stops()}
    )  # a hook that no sheet names
    runner.train()
    record = read_record(tmp_path / "run" / RECORD)
    assert seen == ["training"]
    assert (record.state, record.why) == ("stopped", "SIGINT")


def test_one_that_fails_says_why(inputs, tmp_path, monkeypatch):
    class Fails(Hook):
        def after_train_iter(self, run, metrics):
            raise ValueError("no more of this")

    monkeypatch.setattr("xtune.engine.runner.build_hooks", lambda cfg: {"fails": Fails()})
    with pytest.raises(ValueError, match="no more"):
        train(inputs, tmp_path / "run", "max_steps=2")
    record = read_record(tmp_path / "run" / RECORD)
    assert (record.state, record.why) == ("failed", "ValueError: no more of this")


def test_one_whose_process_is_gone_is_lost():
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], stdout=-1)
    pid = int(gone.stdout)
    assert not RECORDED.is_lost
    assert replace(RECORDED, pid=pid).is_lost
    assert not replace(RECORDED, pid=pid, host="another").is_lost  # nobody here can know
    assert not replace(RECORDED, pid=pid, state="finished").is_lost


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"format_version": 1}',
        '{"format_version": 2, "state": "finished"}',
        "\x00",
    ],
)
def test_a_broken_one_is_none(tmp_path, text):
    (tmp_path / RECORD).write_text(text)
    assert read_record(tmp_path / RECORD) is None


@pytest.mark.parametrize("name", ["config", "began", "pid", "data", "tokenizer", "why"])
def test_one_with_a_value_of_another_kind_is_none(tmp_path, name):
    RECORDED.write(tmp_path)
    assert read_record(tmp_path / RECORD) == RECORDED
    values = json.loads((tmp_path / RECORD).read_text())
    (tmp_path / RECORD).write_text(json.dumps({**values, name: ["x"]}))
    assert read_record(tmp_path / RECORD) is None
