"""Tasks are measured while a model is trained, and the training never knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.forked import run_ranks
from tests.runs import metrics, options, train
from xtune.errors import ConfigError, UsageError
from xtune.eval.loss_curve import read_loss_curve
from xtune.eval.results import read_results

OWN = Path(__file__).with_name("own_tasks.py")


def entry(name, every, **more):
    return {"type": f"{OWN}:{name}", "every": every, **more}


@pytest.fixture(scope="module")
def plain(inputs, tmp_path_factory):
    """A run that measures nothing."""
    folder = tmp_path_factory.mktemp("plain") / "run"
    train(inputs, folder, "max_steps=6")
    return folder


@pytest.fixture(scope="module")
def measured(inputs, tmp_path_factory):
    """The same run, which measures two tasks and fails at a third."""
    folder = tmp_path_factory.mktemp("measured") / "run"
    tasks = [entry("Letters", 2, rows=4), entry("Words", 4), entry("Breaks", 3)]
    tensorboard = "default_hooks.tensorboard={'type': 'TensorboardHook'}"
    train(inputs, folder, "max_steps=6", f"evaluations={tasks}", tensorboard)
    return folder


def steps_of(folder):
    return [row for row in metrics(folder) if "loss" in row]


def test_the_losses_are_bit_for_bit_those_without(plain, measured):
    steps = [(row["step"], row["loss"], row["grad_norm"]) for row in steps_of(measured)]
    assert steps == [(row["step"], row["loss"], row["grad_norm"]) for row in metrics(plain)]


def test_before_during_and_after_are_lines_of_their_own(measured):
    lines = [row for row in metrics(measured) if "loss" not in row]
    found = {row["step"]: sorted(key for key in row if key.startswith("eval/")) for row in lines}
    both = ["eval/letters", "eval/words"]
    assert found == {0: both, 2: ["eval/letters"], 4: both, 6: both}
    assert all(row["evaluation_s"] > 0 for row in lines)
    curve = read_loss_curve(measured)
    assert list(curve.tasks["letters"]) == [0, 2, 4, 6]
    assert list(curve.train) == [1, 2, 3, 4, 5, 6]


def test_every_item_is_there(measured):
    task = read_results(measured / "evaluation" / "step_000004")["letters"]
    assert ([row.id for row in task.rows], task.of) == (["0", "2", "4", "6"], 8)
    assert task.settings["form"] == "chat"


def test_what_fails_is_reported_and_the_run_goes_on(measured):
    log = (measured / "train.log").read_text()
    assert "step 3: breaks is not measured, and the training goes on: memory has run out" in log
    assert log.count("breaks is not measured") == 3  # before, meanwhile, at the end


def test_tensorboard_has_the_curves(measured):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(measured / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("eval/letters")] == [0, 2, 4, 6]


def test_resumed_it_goes_on_bit_for_bit(inputs, plain, tmp_path):
    tasks = f"evaluations={[entry('Letters', 2)]}"
    folder = tmp_path / "run"
    train(inputs, folder, "max_steps=6", "save_steps=3", tasks)
    whole = metrics(folder)
    middle = str(folder / "checkpoints" / "step_000003")
    train(inputs, folder, "max_steps=6", "save_steps=3", tasks, resume=middle)
    again = metrics(folder)
    assert [row["step"] for row in again] == [row["step"] for row in whole]
    assert [row.get("loss") for row in again] == [row.get("loss") for row in whole]
    assert [row.get("eval/letters") for row in again] == [row.get("eval/letters") for row in whole]


def test_what_is_missing_is_said_before_a_model_is_loaded(inputs, tmp_path):
    tasks = [{"type": "MMLU", "data_path": str(tmp_path), "every": 2}]
    with pytest.raises(UsageError, match="mmlu: .*test"):
        train(inputs, tmp_path / "run", f"evaluations={tasks}")
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"type": "MMLUU", "every": 2}, "did you mean 'MMLU'"),
        ({"type": "MMLU", "every": 0}, "evaluations.0.every = 0: must be at least 1"),
        ({"type": "MMLU", "evry": 2}, "evry"),
    ],
)
def test_a_sheet_is_checked(inputs, tmp_path, task, said):
    with pytest.raises(ConfigError, match=said):
        train(inputs, tmp_path / "run", f"evaluations={[task]}")


def test_two_ranks_find_what_one_does(inputs, tmp_path):
    tasks = f"evaluations={[entry('Letters', 2, count=300)]}"
    chosen = [*options(inputs), "max_steps=2", "accumulative_counts=2", "lora.lora_dropout=0.0"]
    one, two = tmp_path / "one", tmp_path / "two"
    train(inputs, one, *chosen, tasks)
    chosen[chosen.index("accumulative_counts=2", -3)] = "accumulative_counts=1"
    words = ["train", "custom_sft_lora", "--work-dir", str(two), "--cfg-options", *chosen, tasks]
    run_ranks("xtune.cli.process", [*words, "strategy.type=DDPStrategy"], tmp_path, 2)
    first = read_results(one / "evaluation" / "step_000000")["letters"]
    second = read_results(two / "evaluation" / "step_000000")["letters"]
    assert first.rows == second.rows
    assert len(losses_of(two)) == 2


def losses_of(folder):
    return [row["loss"] for row in steps_of(folder)]
