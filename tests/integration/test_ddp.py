"""Two processes over gloo: an end that all share, and a run that goes on from it.

That their steps are those of one process is in test_strategies.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from tests.forked import run_ranks
from tests.runs import Inputs, losses, metrics, options, train

CONFIGS = {"lora": "custom_sft_lora", "full": "custom_sft_full", "qlora": "custom_sft_qlora"}
# lr=1e-2, as elsewhere, makes the smallest difference of sums grow a hundredfold in 20 steps
STEPS = ["max_steps=20", "evaluation_freq=10", "lr=3e-4"]


def chosen(inputs: Inputs, *further: str, config: str) -> list[str]:
    every = [*options(inputs), "lora.lora_dropout=0.0", *STEPS, *further]
    return [o for o in every if config != "custom_sft_full" or not o.startswith("lora.")]


def start(
    inputs: Inputs,
    work_dir: Path,
    *further: str,
    config: str = "custom_sft_lora",
    resume: bool = False,
    processes: int = 2,
) -> subprocess.Popen:
    """Start `xtune train` on several processes as a user does, with NPROC_PER_NODE."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "xtune.cli.process", "train", config),
            *("--work-dir", str(work_dir), *(["--resume"] if resume else [])),
            *("--cfg-options", *chosen(inputs, *further, config=config)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ
        | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "NPROC_PER_NODE": str(processes)},
    )


def run(
    inputs: Inputs,
    work_dir: Path,
    *further: str,
    config: str = "custom_sft_lora",
    resume: bool = False,
    processes: int = 2,
) -> str:
    """Train on several processes to the end, without a launcher; return what was said."""
    words = ["train", config, "--work-dir", str(work_dir), *(["--resume"] if resume else [])]
    words += ["--cfg-options", *chosen(inputs, *further, config=config)]
    said = work_dir.with_name(f"{work_dir.name}_said")
    return run_ranks("xtune.cli.process", words, said, processes)


def wait_for_steps(process: subprocess.Popen, work_dir: Path, count: int) -> None:
    log = work_dir / "metrics.jsonl"
    while not (log.exists() and log.read_bytes().count(b"\n") >= count):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)


def processes_of(work_dir: Path) -> list[int]:
    """The processes of a run, launcher and all, by their numbers: the last is the last rank."""
    found = psutil.process_iter(["pid", "cmdline"])
    return sorted(p.info["pid"] for p in found if str(work_dir) in (p.info["cmdline"] or ()))


def weights(work_dir: Path) -> dict[str, torch.Tensor]:
    """The weights of the newest checkpoint, whether an adapter's or a whole model's."""
    return {
        name: weight
        for file in (work_dir / "checkpoints/latest").glob("*/*.safetensors")
        if file.parent.name in ("adapter", "model")
        for name, weight in load_file(file).items()
    }


def assert_same_weights(one: Path, two: Path, *, rtol: float = 1e-3, atol: float = 1e-4) -> None:
    ones, twos = weights(one), weights(two)
    assert ones.keys() == twos.keys()
    assert ones
    for name, weight in ones.items():
        torch.testing.assert_close(twos[name], weight, rtol=rtol, atol=atol)


def column(work_dir: Path, name: str) -> list[float]:
    return [row[name] for row in metrics(work_dir) if name in row]


def test_weights_of_messages_count_alike_on_one_process_and_on_two(inputs, tmp_path):
    rows = [json.loads(line) for line in inputs.data.read_text().splitlines()]
    for number, row in enumerate(rows):  # so that the two have sums of weights of their own
        answers = [m for m in row["messages"] if m["role"] == "assistant"]
        answers[-1]["weight"] = [1, 0.25, 4, 2][number % 4]
    data = tmp_path / "weighted.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    few = ["lora.lora_dropout=0.0", "max_steps=6", "evaluation_freq=3", "lr=3e-4"]
    few += [f"val_data_path={data}"]
    weighted = Inputs(inputs.model, data, data)
    train(weighted, tmp_path / "one", *few, "accumulative_counts=4")
    run(weighted, tmp_path / "two", *few)
    train(inputs, tmp_path / "plain", *few, "accumulative_counts=4")
    for name in ("loss", "grad_norm", "val_loss"):
        one, two = column(tmp_path / "one", name), column(tmp_path / "two", name)
        assert two == pytest.approx(one, rel=1e-4)
        assert len(one) == (2 if name == "val_loss" else 6)
    assert losses(tmp_path / "plain")[0] != losses(tmp_path / "one")[0]


def test_an_adapter_is_trained_further_alike_on_one_process_and_on_two(inputs, tmp_path):
    train(inputs, tmp_path / "first", "max_steps=2", "lora.lora_dropout=0.0")
    further = ["max_steps=3", f"adapter={tmp_path / 'first'}", "evaluation_freq=100"]
    train(inputs, tmp_path / "one", "lora.lora_dropout=0.0", *STEPS, *further)
    run(inputs, tmp_path / "two", *further, "accumulative_counts=1")
    assert losses(tmp_path / "two") == [
        (step, pytest.approx(loss, abs=2e-6)) for step, loss in losses(tmp_path / "one")
    ]
    latest = [tmp_path / name / "checkpoints/latest/adapter" for name in ("one", "two")]
    notes = [json.loads((folder / "xtune.json").read_text())["began_with"] for folder in latest]
    assert notes[0] == notes[1]
    one, two = (load_file(folder / "adapter_model.safetensors") for folder in latest)
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_ended_by_a_signal_to_one_process_and_resumed_it_is_the_run_never_stopped(inputs, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run(inputs, whole, "lora.lora_dropout=0.1")
    process = start(inputs, cut, "lora.lora_dropout=0.1")
    wait_for_steps(process, cut, 3)
    os.kill(processes_of(cut)[-1], signal.SIGTERM)  # of the last one alone
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 128 + signal.SIGTERM
    assert "--resume" in said.splitlines()[-1]
    assert 3 <= len(losses(cut)) < 20
    run(inputs, cut, "lora.lora_dropout=0.1", resume=True)
    assert losses(cut) == losses(whole)


@pytest.mark.parametrize("rank", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_process_that_is_killed_ends_the_others_and_is_named(inputs, tmp_path, rank):
    process = start(inputs, tmp_path, "max_steps=100000")
    wait_for_steps(process, tmp_path, 3)
    killed = processes_of(tmp_path)[rank - 2]
    os.kill(killed, signal.SIGKILL)
    said = process.communicate(timeout=60)[0]  # as long as it may take everywhere
    assert process.returncode == 1, said
    end = said.rstrip().splitlines()[-1]
    assert f"rank {rank} (host" in end
    assert f"process {killed}" in end
    assert "is gone, last seen in " in end  # said once a second; its words are in test_server.py
    deadline = time.monotonic() + 30
    while processes_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_of(tmp_path) == []


def test_the_first_error_is_said_last_and_its_exit_code_is_the_runs(inputs, tmp_path):
    process = start(inputs, tmp_path, "data_path=nowhere.jsonl")
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 2
    end = said.partition("The first of ")[2]
    assert "no file, folder or pattern 'nowhere.jsonl'" in end
    assert "Traceback" not in end


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_all_processes_with_the_rows(inputs, tmp_path):
    process = start(inputs, tmp_path, "lr=1e30")
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 1
    assert "loss" in said.partition("The first of ")[2]
