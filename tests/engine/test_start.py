"""`xtune.train`: the command line's runs, from Python, again and again in one process."""

import gc
import json
import logging
import os
import random
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel

import xtune
from tests.runs import losses, options
from xtune.cli.entry import main
from xtune.engine.hooks.base import Hook
from xtune.errors import ConfigError, UsageError
from xtune.registry import HOOKS


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def knobs(inputs):
    """What makes custom_sft_lora small, as Python values."""
    return {
        "pretrained_model_name_or_path": inputs.model,
        "data_path": inputs.data,
        "map_fn": "openai",
        "max_length": 128,
        "accumulative_counts": 2,
        "max_steps": 6,
        "lr": 1e-2,
        "lora.r": 4,
        "lora.lora_dropout": 0.1,
        "save_steps": 5,
        "save_total_limit": 3,
        "evaluation_inputs": [],
        "strategy.precision": "fp32",
        "default_hooks.tensorboard": None,
        "default_hooks.loss_curve": None,
    }


class DoAt(Hook):
    """Does something in the middle of a step."""

    told = threading.Event()

    def __init__(self, *, step: int, what: str) -> None:
        self.step, self.what = step, what

    def before_optimizer_step(self, run, batches, loss, grad_norm):
        if run.step + 1 != self.step:
            return
        if self.what == "fail":
            raise RuntimeError("no more")
        if self.what == "stop":
            self.told.set()
            return
        if self.what == "train":
            xtune.train("custom_sft_lora", work_dir="other")
        os.kill(os.getpid(), signal.Signals[self.what])


HOOKS.register_module(module=DoAt, force=True)


def at(step, what):
    return {"default_hooks.tensorboard": {"type": "DoAt", "step": step, "what": what}}


def adapters_alive():
    gc.collect()
    return sum(isinstance(each, PeftModel) for each in gc.get_objects())


def test_it_is_the_command_lines_run_and_its_result_is_read_from_the_folder(inputs, knobs):
    assert main(["train", "custom_sft_lora", "--work-dir", "cli", "--cfg-options",
                 *options(inputs), "max_steps=6"]) == 0  # fmt: skip
    run = xtune.train("custom_sft_lora", **knobs)
    assert str(run.work_dir) == "work_dirs/custom_sft_lora"
    assert [(row["step"], row["loss"]) for row in run.metrics] == losses(run.work_dir)
    assert losses(run.work_dir) == losses(Path("cli"))
    assert len(run.metrics) == 6
    assert run.adapter == run.work_dir / "checkpoints/step_000006/adapter"
    assert (run.adapter / "adapter_model.safetensors").is_file()
    assert run.model is None
    assert run.report.rows == 48
    written = json.loads(Path("cli/data_report.json").read_text())["train"]
    assert json.loads(json.dumps(run.report.to_dict())) == written
    assert str(run.report).splitlines()[0] == "rows      48 read, 48 kept"
    again = xtune.results("work_dirs/custom_sft_lora")
    assert again == run
    model = xtune.load(run)  # a run stands for its folder
    assert model.name == f"{inputs.model} + {run.work_dir}/checkpoints/latest/adapter"
    first, last = run.metrics[0]["loss"], run.metrics[-1]["loss"]
    assert repr(run) == (
        f"<Results of work_dirs/custom_sft_lora: step 6, loss {first:.4f} -> {last:.4f}; "
        "work_dirs/custom_sft_lora/checkpoints/step_000006/adapter>"
    )


def test_another_knob_needs_another_folder_and_the_same_sheet_does_not(
    knobs, tmp_path, monkeypatch
):
    knobs["max_steps"] = 1
    first = xtune.train("custom_sft_lora", **knobs)
    with pytest.raises(ConfigError, match="holds checkpoints of another config"):
        xtune.train("custom_sft_lora", **{**knobs, "lr": 2e-2})
    assert xtune.train("custom_sft_lora", **knobs).metrics[0]["loss"] == first.metrics[0]["loss"]
    monkeypatch.setenv("HOME", str(tmp_path))
    other = xtune.train("custom_sft_lora", work_dir="~/other", **{**knobs, "lr": 2e-2})
    assert other.work_dir == tmp_path / "other"


def test_the_model_is_given_up_and_the_random_generators_are_as_they_were(knobs):
    before = adapters_alive()
    random.seed(1)
    np.random.seed(2)
    torch.manual_seed(3)
    xtune.train("custom_sft_lora", **{**knobs, "max_steps": 1})
    drawn = random.random(), np.random.random(), torch.rand(1).item()
    random.seed(1)
    np.random.seed(2)
    torch.manual_seed(3)
    assert drawn == (random.random(), np.random.random(), torch.rand(1).item())
    assert adapters_alive() == before


def test_it_is_given_up_though_the_error_is_kept(knobs):
    """A notebook keeps the last error, whose frames held the model."""
    before = adapters_alive()
    with pytest.raises(RuntimeError, match="no more") as kept:
        xtune.train("custom_sft_lora", **{**knobs, **at(2, "fail")})
    assert kept.value.__traceback__ is not None
    assert adapters_alive() == before


def test_an_interrupt_saves_then_raises_and_the_run_goes_on_bit_for_bit(knobs):
    whole = xtune.train("custom_sft_lora", work_dir="whole", **knobs)
    with pytest.raises(KeyboardInterrupt) as stopped:
        xtune.train("custom_sft_lora", work_dir="part", **{**knobs, **at(3, "SIGINT")})
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert str(stopped.value) == (
        "stopped by SIGINT after step 3 of 6; saved part/checkpoints/step_000003. Go on: the same "
        "call with resume=True"
    )
    assert len(xtune.results("part").metrics) == 3
    rest = xtune.train("custom_sft_lora", work_dir="part", resume=True, **knobs)
    assert losses(rest.work_dir) == losses(whole.work_dir)


def test_a_handler_of_the_users_own_is_called_once_the_run_is_saved(knobs):
    seen = []
    previous = signal.signal(
        signal.SIGTERM, lambda number, frame: seen.append(xtune.results("run").checkpoint.name)
    )
    try:
        run = xtune.train("custom_sft_lora", work_dir="run", **{**knobs, **at(2, "SIGTERM")})
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert seen == ["step_000002"]
    assert len(run.metrics) == 2


def test_it_runs_in_a_thread_and_gives_the_same(knobs):
    """As a web app's worker does: no signal handlers, no event loop."""
    made = []
    del knobs["default_hooks.loss_curve"]  # it is drawn, without a screen of matplotlib's

    def train():
        torch.set_num_threads(1)  # OpenMP counts by thread
        made.append(xtune.train("custom_sft_lora", work_dir="thread", **knobs))

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    main_thread = xtune.train("custom_sft_lora", work_dir="main", **knobs)
    assert losses(made[0].work_dir) == losses(main_thread.work_dir)
    assert made[0]._repr_png_().startswith(b"\x89PNG")


def test_a_run_in_a_thread_is_ended_by_an_event_and_goes_on(knobs):
    """Set in the middle of a step, which is finished and saved; the rest has the same losses."""
    made, knobs = [], {**knobs, **at(2, "stop")}

    def train():
        torch.set_num_threads(1)  # OpenMP counts by thread
        made.append(xtune.train("custom_sft_lora", work_dir="cut", stop=DoAt.told, **knobs))

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert [row["step"] for row in made[0].metrics] == [1, 2]
    assert made[0].checkpoint.name == "step_000002"
    rest = xtune.train("custom_sft_lora", work_dir="cut", resume=True, **knobs)
    whole = xtune.train("custom_sft_lora", work_dir="whole", **knobs)
    assert losses(rest.work_dir) == losses(whole.work_dir)


def test_one_process_trains_one_run_at_a_time(knobs):
    with pytest.raises(UsageError, match="another run trains in this process"):
        xtune.train("custom_sft_lora", work_dir="run", **{**knobs, **at(1, "train")})
    xtune.train("custom_sft_lora", work_dir="run", **{**knobs, "max_steps": 1})  # it is over


def test_lines_are_not_printed_twice_where_the_root_logger_prints_too(knobs, capfd):
    """As in Colab, and after logging.basicConfig(); what it writes elsewhere it still gets."""
    root, screen = logging.getLogger(), logging.StreamHandler(sys.stderr)
    file = logging.FileHandler("mine.log")
    root.addHandler(screen)
    root.addHandler(file)
    try:
        xtune.train("custom_sft_lora", work_dir="run", **{**knobs, "max_steps": 1})
        logging.getLogger("xtune").warning("afterwards")
    finally:
        root.removeHandler(screen)
        root.removeHandler(file)
        file.close()
    out, err = capfd.readouterr()
    assert out.count("saved run/checkpoints/step_000001") == 1
    assert "saved" not in err
    assert err.count("afterwards") == 1
    assert Path("mine.log").read_text().count("saved run/checkpoints/step_000001") == 1
    assert logging.getLogger("xtune").level == logging.NOTSET


def test_values_changed_past_the_text_are_refused(knobs):
    """The recorded sheet would not be what ran."""
    sheet = xtune.render("custom_sft_lora", **knobs)
    sheet.values.optimizer.lr = 5.0
    with pytest.raises(ConfigError, match="values of sheet custom_sft_lora were changed"):
        xtune.train(sheet)


def test_several_processes_are_the_command_lines(monkeypatch):
    monkeypatch.setenv("NPROC_PER_NODE", "2")
    with pytest.raises(UsageError, match="NPROC_PER_NODE=2 xtune train CONFIG"):
        xtune.train("custom_sft_lora")


def test_an_unknown_strategy_gets_the_nearest_name(knobs):
    with pytest.raises(UsageError, match="no strategy 'fspd'; did you mean 'fsdp'"):
        xtune.train("custom_sft_lora", strategy="fspd", **knobs)


def test_errors_have_the_command_lines_text(inputs, knobs, capsys):
    with pytest.raises(ConfigError) as raised:
        xtune.train("custom_sft_lora", **{**knobs, "map_fn": "opnai"})
    own = [*options(inputs), "map_fn='opnai'"]
    assert main(["train", "custom_sft_lora", "--cfg-options", *own]) == 2
    said = capsys.readouterr().err.replace("--cfg-options ", "")
    assert said == f"xtune train: {raised.value}\n"


def test_no_folder_of_a_run(tmp_path):
    with pytest.raises(UsageError, match="no folder 'work_dirs/nosuch'"):
        xtune.results("work_dirs/nosuch")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="is not the folder of a run"):
        xtune.results(tmp_path / "empty")


def test_a_line_that_is_being_written_is_no_row_yet(tmp_path):
    (tmp_path / "config.py").write_text("")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": null}\n{"step": 2, "lo')
    run = xtune.results(tmp_path)
    assert run.metrics == [{"step": 1, "loss": None}]
    assert (run.report, run.val_report, run.checkpoint, run.adapter) == (None, None, None, None)
    assert repr(run) == f"<Results of {tmp_path}: step 1; nothing saved>"
