"""kill -9 between saves and during one, and SIGTERM: the losses are those of a run never stopped.

The runs are real ones through the command line; dropout is on, so the random state matters too.
"""

import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.forked import Forked
from tests.runs import Inputs, losses, metrics, options, sheet_of, train
from xtune.checkpoint.folder import list_checkpoints
from xtune.engine.runner import Runner
from xtune.errors import CheckpointError

STEPS = "max_steps=40"


@pytest.fixture(scope="module")
def uninterrupted(inputs, tmp_path_factory) -> list[tuple[int, float]]:
    work_dir = tmp_path_factory.mktemp("uninterrupted")
    train(inputs, work_dir, STEPS)
    return losses(work_dir)


def start(
    inputs: Inputs, work_dir: Path, *arguments: str, config: str = "custom_sft_lora", further=()
) -> Forked:
    words = ["train", config, "--work-dir", str(work_dir), *arguments, "--cfg-options"]
    said = work_dir.with_name(f"{work_dir.name}_said.txt")
    return Forked("xtune.cli.process", [*words, *options(inputs), STEPS, *further], said)


def wait_until(process: Forked, condition, *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.001)


def lines_of(work_dir: Path) -> int:
    path = work_dir / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def stop_in_a_save(process: Forked, checkpoints: Path) -> None:
    """Hold it where a save has begun and is not done; one that is done by then may go on."""
    seen = psutil.Process(process.pid)
    while True:
        wait_until(process, lambda: any(checkpoints.glob(".tmp-step_*")))
        process.send_signal(signal.SIGSTOP)
        wait_until(process, lambda: seen.status() == psutil.STATUS_STOPPED)
        if any(checkpoints.glob(".tmp-step_*")):
            return
        process.send_signal(signal.SIGCONT)


def kill(process: Forked) -> None:
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_killed_twice_and_stopped_once_the_losses_are_those_of_one_run(
    inputs, uninterrupted, tmp_path
):
    checkpoints = tmp_path / "checkpoints"

    first = start(inputs, tmp_path)
    wait_until(first, lambda: lines_of(tmp_path) >= 8 and list_checkpoints(checkpoints))
    kill(first)
    saved = [step for step, _ in list_checkpoints(checkpoints)]
    assert len(losses(tmp_path)) >= 8  # what was done after the save is in the file
    assert saved[0] == 5

    second = start(inputs, tmp_path, "--resume")
    wait_until(second, lambda: lines_of(tmp_path) >= saved[-1] + 3)
    stop_in_a_save(second, checkpoints)
    kill(second)
    saved = [step for step, _ in list_checkpoints(checkpoints)]
    assert any(checkpoints.glob(".tmp-*"))

    third = start(inputs, tmp_path, "--resume")
    wait_until(third, lambda: lines_of(tmp_path) >= 22)
    third.send_signal(signal.SIGTERM)
    output = third.communicate(timeout=120)[0]
    assert third.returncode == 143, output
    assert f"resumed from {checkpoints.resolve() / f'step_{saved[-1]:06d}'}" in output
    done = len(losses(tmp_path))
    assert f"stopped by SIGTERM after step {done} of 40; saved" in output
    assert f"--work-dir {tmp_path}" in output
    assert "--resume" in output
    assert "Traceback" not in output
    assert not any(checkpoints.glob(".tmp-*"))

    train(inputs, tmp_path, STEPS, resume="auto")
    assert losses(tmp_path) == uninterrupted


@pytest.mark.slow
@pytest.mark.parametrize("config", ["custom_dpo_lora", "custom_kto_lora"])
def test_killed_after_a_save_and_in_one_answers_are_learnt_from_as_in_one_run(
    inputs, tmp_path, config
):
    pairs = inputs.data.with_name("pairs.jsonl")
    own = [f"data_path={pairs}", "map_fn=preference", "batch_size=4", f"val_data_path={pairs}"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    checkpoints = cut / "checkpoints"
    Runner(sheet_of(inputs, STEPS, *own, config=config), work_dir=whole).train()

    first = start(inputs, cut, config=config, further=own)
    wait_until(first, lambda: lines_of(cut) >= 8 and list_checkpoints(checkpoints))
    kill(first)
    second = start(inputs, cut, "--resume", config=config, further=own)
    wait_until(second, lambda: lines_of(cut) >= 13)
    stop_in_a_save(second, checkpoints)
    kill(second)
    third = start(inputs, cut, "--resume", config=config, further=own)
    output = third.communicate(timeout=120)[0]
    assert third.returncode == 0, output
    assert "resumed from" in output
    assert measured(cut) == measured(whole)
    assert [row["step"] for row in metrics(cut)] == list(range(1, 41))


def measured(work_dir: Path) -> list[dict[str, float]]:
    """All that the algorithm has measured in each step; times are left out."""
    names = {"step", "loss", "grad_norm", "reward_margin", "kl", "z", "val_loss"}
    rows = metrics(work_dir)
    assert {"reward_margin", "kl"} <= rows[0].keys()
    return [{name: value for name, value in row.items() if name in names} for row in rows]


def test_a_step_may_be_split_otherwise_and_not_be_of_another_size(inputs, tmp_path):
    whole, half = tmp_path / "whole", tmp_path / "whole/checkpoints/step_000004"
    fixed = ["max_steps=8", "save_steps=4", "lora.lora_dropout=0.0"]
    train(inputs, whole, *fixed)
    split = ["batch_size=2", "accumulative_counts=1"]
    train(inputs, tmp_path / "split", *fixed, *split, resume=str(half))
    assert losses(tmp_path / "split") == [
        (step, pytest.approx(loss, rel=1e-4)) for step, loss in losses(whole)[4:]
    ]
    with pytest.raises(CheckpointError, match=r"took 2 items .* batch_size is 2 again"):
        train(inputs, tmp_path / "other", *fixed, "batch_size=2", resume=str(half))
