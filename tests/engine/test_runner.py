"""One short run, looked at from all sides; and runs that a hook ends or disturbs."""

import json
import math

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.runs import losses, metrics, train
from xtune.checkpoint.folder import list_checkpoints
from xtune.engine.hooks.base import Hook
from xtune.engine.loops import validation_metrics
from xtune.errors import ConfigError, TrainingError
from xtune.registry import HOOKS

HOOK = "default_hooks.tensorboard="  # the place of a hook that these runs do without
ASK = "evaluation_inputs=['have miles', 'Thank you']"


@pytest.fixture(scope="module")
def run(inputs, tmp_path_factory):
    """12 steps with validation, answers, TensorBoard and a loss curve."""
    work_dir = tmp_path_factory.mktemp("runs") / "run"
    ended = train(
        inputs,
        work_dir,
        "max_steps=12",
        "save_steps=4",
        "save_total_limit=2",
        f"val_data_path={inputs.val}",
        "evaluation_freq=6",
        ASK,
        "custom_hooks.0.max_new_tokens=5",
        HOOK + "{'type': 'TensorboardHook'}",
        "default_hooks.loss_curve={'type': 'LossCurveHook'}",
    )
    return ended


def test_metrics_have_every_column_and_the_loss_falls(run):
    rows = metrics(run.work_dir)
    assert [row["step"] for row in rows] == list(range(1, 13))
    columns = {"step", "loss", "lr", "grad_norm", "tokens", "trained_tokens", "tokens_per_s"}
    columns |= {"tflops_per_device", "peak_memory_mb", "time"}
    assert all(columns <= set(row) for row in rows)
    assert all("mfu" not in row for row in rows)  # nobody publishes a CPU's peak
    assert rows[-1]["loss"] < rows[0]["loss"] - 1
    assert rows[0]["lr"] == 1e-2
    assert rows[-1]["tokens"] == run.tokens
    assert all(a["tokens"] < b["tokens"] for a, b in zip(rows, rows[1:], strict=False))
    assert [row["step"] for row in rows if "val_loss" in row] == [6, 12]


def test_validation_loss_is_the_mean_over_all_trained_tokens(run):
    total = trained = 0
    run.model.eval()
    with torch.no_grad():
        for index in range(len(run.val_dataset)):
            batch = run.val_dataset.batch([index])
            total += run.model(batch, normalizer=1)["loss"].item()
            trained += batch.trained_tokens
    assert validation_metrics(run)["val_loss"] == pytest.approx(total / trained, rel=1e-6)
    assert metrics(run.work_dir)[-1]["val_loss"] == pytest.approx(total / trained, rel=1e-6)


def test_checkpoints_and_reports_are_where_they_should_be(run):
    assert [step for step, _ in list_checkpoints(run.work_dir / "checkpoints")] == [8, 12]
    assert (run.work_dir / "config.py").read_text() == run.sheet.text
    assert (run.work_dir / "loss_curve.png").read_bytes()[:4] == b"\x89PNG"
    assert list((run.work_dir / "tensorboard").glob("events*"))
    assert json.loads((run.work_dir / "data_report.json").read_text())["train"]["rows"] == 48
    samples = sorted(path.name for path in (run.work_dir / "chat_samples").iterdir())
    assert samples == ["step_0.txt", "step_12.txt", "step_6.txt"]
    assert "> have miles\n" in (run.work_dir / "chat_samples" / "step_0.txt").read_text()
    # Nobody has taught it to stop yet: it is cut, and a reader is told
    said = (run.work_dir / "chat_samples" / "step_0.txt").read_text().rstrip()
    assert said.endswith("tokens]")
    assert "step 12/12" in (run.work_dir / "train.log").read_text()


def test_the_adapter_loads_in_plain_peft_and_gives_the_same_logits(run, inputs):
    folder = run.work_dir / "checkpoints" / "latest" / "adapter"
    plain = AutoModelForCausalLM.from_pretrained(inputs.model, dtype=torch.float32)
    loaded = peft.PeftModel.from_pretrained(plain, str(folder)).eval()
    batch = run.val_dataset.batch([0])
    start, end = batch.cu_seqlens[:2].tolist()
    ids = batch.input_ids[:, start:end]  # its first document
    run.model.eval()
    with torch.no_grad():
        theirs = loaded(input_ids=ids).logits[0]
        hidden = run.model.backbone.hidden_states(batch)
        ours = run.llm.get_base_model().lm_head(hidden)[0]
    torch.testing.assert_close(ours[start:end], theirs, atol=1e-5, rtol=1e-5)


def test_the_adapter_says_what_it_was_trained_with(run, inputs):
    folder = run.work_dir / "checkpoints" / "latest" / "adapter"
    notes = json.loads((folder / "xtune.json").read_text())
    assert notes["base_model"] == str(inputs.model)
    assert notes["base_vocab_size"] == 384
    assert notes["stop_words"] == ["<|im_end|>"]
    assert notes["map_fn"] == "openai"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.chat_template == run.template.jinja
    peft_config = json.loads((folder / "adapter_config.json").read_text())
    assert peft_config["base_model_name_or_path"] == str(inputs.model)
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == 2


def test_evaluating_and_validating_do_not_change_training(run, inputs, tmp_path):
    train(inputs, tmp_path, "max_steps=12", "save_steps=None")
    assert losses(tmp_path) == losses(run.work_dir)


class StopAt(Hook):
    """Stops the run, or spoils the weights, at a step."""

    def __init__(self, *, step: int, spoil: bool = False) -> None:
        self.step, self.spoil = step, spoil

    def before_train_iter(self, runner, batches):
        if runner.step + 1 == self.step and self.spoil:
            for parameter in runner.strategy.trainable.values():
                parameter.data.fill_(float("nan"))

    def after_train_iter(self, runner, metrics):
        if runner.step == self.step:
            runner.stop("the test says so")


class Broken(Hook):
    """An evaluation that always fails."""

    essential = False

    def after_train_iter(self, runner, metrics):
        raise ValueError("no such thing")


for hook in (StopAt, Broken):
    HOOKS.register_module(module=hook, force=True)


def test_a_hook_can_stop_the_run_which_is_then_saved(inputs, tmp_path):
    ended = train(inputs, tmp_path, HOOK + "{'type': 'StopAt', 'step': 3}")
    assert ended.step == 3
    assert [step for step, _ in list_checkpoints(tmp_path / "checkpoints")] == [3]


def test_a_run_gone_on_with_in_another_precision_says_so(inputs, tmp_path):
    train(inputs, tmp_path, "max_steps=1", "strategy.precision=fp32")
    train(inputs, tmp_path, "max_steps=2", "strategy.precision=bf16", resume="auto")
    log = (tmp_path / "train.log").read_text()
    assert "bf16 now, fp32 before" in log
    assert "strategy.precision=fp32 goes on exactly" in log


def test_a_failing_evaluation_is_reported_and_does_not_end_the_run(inputs, tmp_path):
    ended = train(inputs, tmp_path, "max_steps=2", HOOK + "{'type': 'Broken'}")
    assert ended.step == 2
    log = (tmp_path / "train.log").read_text()
    assert "tensorboard failed in after_train_iter and is passed over: ValueError: no such" in log
    assert "Traceback" in log


def test_a_loss_that_is_no_number_stops_before_the_weights_take_it_in(inputs, tmp_path):
    spoil = HOOK + "{'type': 'StopAt', 'step': 3, 'spoil': True}"
    with pytest.raises(TrainingError, match="the loss is nan at step 3; the weights were not"):
        train(inputs, tmp_path, "save_steps=2", spoil)
    aside = json.loads((tmp_path / "nan_batch_step_3.json").read_text())
    documents = [document for batch in aside["micro_batches"] for document in batch]
    assert len(aside["micro_batches"]) == 2
    assert all("<|im_start|>user\n" in document["text"] for document in documents)
    assert len(losses(tmp_path)) == 2
    assert [step for step, _ in list_checkpoints(tmp_path / "checkpoints")] == [2]


def test_without_the_hook_undefined_numbers_are_null(inputs, tmp_path):
    spoil = HOOK + "{'type': 'StopAt', 'step': 2, 'spoil': True}"
    train(inputs, tmp_path, "max_steps=2", spoil, "default_hooks.check_loss=None")
    rows = metrics(tmp_path)
    assert math.isfinite(rows[0]["loss"])
    assert rows[1]["loss"] is None


def test_early_stopping_ends_a_run_that_no_longer_improves(inputs, tmp_path):
    ended = train(
        inputs,
        tmp_path,
        f"val_data_path={inputs.val}",
        "evaluation_freq=2",
        HOOK + "{'type': 'EarlyStoppingHook', 'patience': 2, 'min_delta': 100.0}",
    )
    assert ended.step == 6


def test_early_stopping_needs_something_to_watch(inputs, tmp_path):
    with pytest.raises(ConfigError, match="there is no validation data"):
        train(inputs, tmp_path, HOOK + "{'type': 'EarlyStoppingHook'}")


@pytest.mark.parametrize(("hook", "package"), [("WandbHook", "wandb"), ("SwanlabHook", "swanlab")])
def test_a_tracker_that_is_not_installed_says_how_to_install_it(inputs, tmp_path, hook, package):
    with pytest.raises(ConfigError, match=f"pip install {package}"):
        train(inputs, tmp_path, HOOK + f"{{'type': '{hook}'}}")


def test_groups_train_at_their_own_rates(inputs, tmp_path):
    keys = "paramwise_cfg={'custom_keys': {'lora_A': {'lr_mult': 0.0}}}"
    ended = train(inputs, tmp_path, "max_steps=3", "lora.init_lora_weights=True", keys)
    trained = ended.strategy.trainable
    # lora_B begins at zero: what is not trained stays there
    assert all(bool(p.any()) for name, p in trained.items() if "lora_B" in name)
    moments = ended.strategy.state_dict()["optimizer"]
    assert set(moments) == set(trained)
    rates = {group["lr"] for group in ended.strategy.optimizer.param_groups}
    assert 0.0 in rates
    assert len(rates) == 2


def test_a_run_leaves_the_processors_rounding_as_it_was(run):
    assert (torch.tensor([1e-40]) * 1.0).item() > 0  # a denormal: 0 while training
