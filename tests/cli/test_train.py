"""`xtune train`: exit codes, the plan, and what a user is told at the end."""

import os
import shlex
import signal
from pathlib import Path

import pytest

from tests.runs import losses, options
from xtune.cli import train as train_verb
from xtune.cli.entry import main
from xtune.cli.parser import VerbParser
from xtune.config import check, render
from xtune.config.strategies import SHARDINGS, Traits
from xtune.engine.hooks.base import Hook
from xtune.engine.strategy_choice import with_strategy
from xtune.registry import HOOKS


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class SignalAt(Hook):
    """Sends this process a signal in the middle of a step."""

    def __init__(self, *, step: int, name: str) -> None:
        self.step, self.name = step, name

    def before_optimizer_step(self, runner, batches, loss, grad_norm):
        if runner.step + 1 == self.step:
            os.kill(os.getpid(), signal.Signals[self.name])

    def before_train(self, runner):
        if self.step == 0:
            os.kill(os.getpid(), signal.Signals[self.name])


HOOKS.register_module(module=SignalAt, force=True)


def _train(inputs, *further, config="custom_sft_lora", words=()):
    return main(["train", config, *words, "--cfg-options", *options(inputs), *further])


def test_a_run_says_where_its_result_is(inputs, capsys):
    assert _train(inputs, "max_steps=2") == 0
    said = capsys.readouterr().out
    assert "done: 2 steps" in said
    adapter = "work_dirs/custom_sft_lora/checkpoints/latest/adapter"
    assert f"xtune chat {inputs.model} --adapter {adapter}" in said
    assert os.path.isfile(f"{adapter}/adapter_model.safetensors")


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_saves_and_says_how_to_go_on(inputs, capsys, name, code):
    hook = f"default_hooks.tensorboard={{'type': 'SignalAt', 'step': 3, 'name': '{name}'}}"
    assert _train(inputs, hook, words=["--work-dir", "run", "--seed", "7"]) == code
    told = capsys.readouterr().err
    assert f"stopped by {name} after step 3 of 24; saved run/checkpoints/step_000003" in told
    assert "--seed 7 --resume" in told
    assert len(losses_in("run")) == 3


def test_what_it_says_to_go_on_is_the_whole_command(inputs, capsys, monkeypatch):
    monkeypatch.setenv("ADDR", "first.host")
    hook = "default_hooks.tensorboard={'type': 'SignalAt', 'step': 1, 'name': 'SIGINT'}"
    words = ["--work-dir", "my run", "--strategy", "single", "--force"]
    assert _train(inputs, hook, words=words) == 130
    told = capsys.readouterr().err
    assert "stopped by SIGINT after step 1 of 24; saved my run/checkpoints/step_000001" in told
    line = told.splitlines()[-1]
    assert line.startswith(
        "Go on: ADDR=first.host xtune train custom_sft_lora --work-dir 'my run' "
        "--strategy single --force --cfg-options "
    )
    assert line.endswith(" --resume")
    asked = shlex.split(line.removeprefix("Go on: ADDR=first.host xtune "))
    again = VerbParser("train", None)
    train_verb.add_arguments(again)
    assert again.parse_args(asked[1:]).cfg_options == [*options(inputs), hook]


def test_stopped_before_anything_is_saved_it_says_to_begin_again(inputs, capsys):
    hook = "default_hooks.tensorboard={'type': 'SignalAt', 'step': 0, 'name': 'SIGINT'}"
    assert _train(inputs, hook, words=["--work-dir", "run"]) == 130
    told = capsys.readouterr().err
    assert "stopped by SIGINT after step 0 of 24; nothing new to save" in told
    assert told.splitlines()[-1].startswith("Begin again: xtune train custom_sft_lora --work-dir")
    assert "--resume" not in told


def losses_in(folder: str):
    return losses(Path(folder))


def test_a_work_dir_from_another_config_is_misuse(inputs, capsys):
    assert _train(inputs, "max_steps=1", words=["--work-dir", "run"]) == 0
    assert _train(inputs, "max_steps=1", "lora.r=2", words=["--work-dir", "run"]) == 2
    assert "run holds checkpoints of another config; lora.r" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("further", "code", "message"),
    [
        (["lr=-1"], 2, "lr"),
        (["learning_rate=1"], 2, "no 'learning_rate'"),
        (["data_path=/none/such.jsonl"], 2, "/none/such.jsonl"),
        (["optimizer.type=AdmaW"], 2, "did you mean 'AdamW'"),
    ],
)
def test_a_wrong_config_ends_before_anything_is_written(inputs, capsys, further, code, message):
    assert _train(inputs, *further) == code
    assert message in capsys.readouterr().err
    assert not os.path.exists("work_dirs")


def test_an_empty_data_set_is_a_failure(inputs, tmp_path, capsys):
    (tmp_path / "empty.jsonl").write_text("")
    assert _train(inputs, f"data_path={tmp_path / 'empty.jsonl'}") == 1
    assert "the data set is empty" in capsys.readouterr().err


def test_an_unknown_config_lists_near_ones(capsys):
    assert main(["train", "custom_sft_lroa"]) == 2
    assert "custom_sft_lora" in capsys.readouterr().err


def test_the_plan_counts_everything_and_writes_nothing(inputs, capsys):
    assert _train(inputs, words=["--work-dir", "plan", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "48 read, 48 kept" in said
    assert "steps       24, 7 an epoch, 3.43 epochs" in said
    assert "parameters  4,096 trained of 34,976 (11.71 %)" in said
    assert "GiB  activations" in said
    assert "checked     everything" in said
    assert not os.path.exists("plan")


def test_the_plan_of_a_model_that_is_not_here_says_what_was_not_checked(monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    short = ["--cfg-options", "max_length=256"]  # looked through soon
    assert main(["train", "internlm_7b_qlora_alpaca", "--dry-run", *short]) == 0
    said = capsys.readouterr().out
    assert "not checked tokenizer 'internlm/internlm-7b'" in said
    assert "not checked data" in said
    assert "not checked weights of 'internlm/internlm-7b'" in said
    assert "trained of 7," in said
    assert "GiB  frozen weights" in said
    assert "checked     everything" not in said


def test_the_plan_says_what_the_strategy_refuses(inputs, capsys):
    pytest.importorskip("deepspeed")
    pattern = r"lora.target_modules=.*\.q_proj|lm_head"
    code = _train(inputs, pattern, words=["--dry-run", "--deepspeed", "deepspeed_zero3"])
    assert code == 2
    refused = str(SHARDINGS["zero3"].refuses(Traits(adapter_on_head=True)))
    assert refused in capsys.readouterr().err


def test_the_plan_finds_what_the_run_would_trip_over(inputs, tmp_path, capsys):
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"messages": [}\n')
    assert _train(inputs, f"data_path={broken}", words=["--dry-run"]) == 1
    assert "broken.jsonl:1" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--deepspeed", "deepspeed_zero2"], ["--strategy", "fsdp"]], ids=["zero2", "fsdp"]
)
def test_an_optimizer_that_cannot_be_divided_gives_way_with_a_word(words, caplog):
    """As XTuner's users start QLoRA: the config's 8-bit moments suit one GPU, and DDP."""
    named = {words[0].removeprefix("--"): words[1]}
    sheet = render("internlm_7b_qlora_alpaca")
    assert sheet.values.optimizer.type == "PagedAdamW8bit"
    chosen = with_strategy(sheet, **named)
    assert chosen.values.optimizer.type == "AdamW"
    assert "note: optimizer.type=AdamW, since" in caplog.text
    assert check(chosen) == []
    # What the command line itself asks for is not changed, but refused.
    own = ["optimizer.type=AdamW8bit"]
    refused = with_strategy(render(sheet, own), **named)
    (problem,) = check(refused)
    assert (problem.key, problem.value) == ("optimizer.type", "'AdamW8bit'")
    assert "cannot hold its state in parts; take AdamW" in str(problem)
