"""A new algorithm is one file: it trains, is killed and resumed, saved, loaded and estimated.

What it trains under ddp, ZeRO and FSDP is in the rows `pairs` and `pairs lora` of equivalence.py.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM

from tests.forked import Forked
from tests.integration.test_resume import kill, lines_of, wait_until
from tests.models.toy import PreferredAnswers, toy_option
from tests.runs import Inputs, metrics, options, sheet_of
from tests.tiny import write_tiny_llama
from xtune.checkpoint.folder import list_checkpoints
from xtune.checkpoint.module import read_module
from xtune.cli.entry import main
from xtune.engine.checkpoints import load_further_parts
from xtune.engine.runner import Runner
from xtune.errors import CheckpointError
from xtune.models import SupervisedFinetune, base_of, load_model

METHODS = {"full": "custom_sft_full", "lora": "custom_sft_lora"}
STEPS = ["max_steps=40", "save_steps=5"]


def train(inputs: Inputs, folder: Path, method: str, *more: str, resume: str | None = None):
    chosen = [toy_option(inputs.model), *STEPS, *more]
    sheet = sheet_of(inputs, *chosen, config=METHODS[method])
    runner = Runner(sheet, work_dir=folder, resume=resume)
    runner.train()
    return runner


@pytest.fixture(scope="module", params=METHODS)
def whole(request, inputs, tmp_path_factory):
    """(method, work_dir, runner) of a run that nothing stops."""
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, folder, train(inputs, folder, request.param)


def numbers(work_dir: Path) -> list[tuple[float, ...]]:
    names = ("step", "loss", "accuracy", "margin", "grad_norm")
    return [tuple(row[name] for name in names) for row in metrics(work_dir)]


def test_it_learns_and_its_metrics_are_in_the_file(whole):
    _, folder, _ = whole
    rows = metrics(folder)
    assert len(rows) == 40
    assert all(0.0 <= row["accuracy"] <= 1.0 for row in rows)
    assert sum(row["loss"] for row in rows[-5:]) < sum(row["loss"] for row in rows[:5])


def test_it_learns_which_of_two_answers_is_better(inputs, tmp_path):
    """Each pair of the file is a pair of the loss: what it counts is the number of them."""
    pairs = [
        {"prompt": f"What is {n} and {n}?", "chosen": f"It is {2 * n}.", "rejected": "No."}
        for n in range(1, 13)
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    data = {
        "type": "PreferenceDataset",
        "data_path": str(file),
        "map_fn": "preference",
        "max_length": 128,
    }
    chosen = [toy_option(inputs.model, PreferredAnswers), f"train_dataset={data!r}", "max_steps=12"]
    runner = Runner(sheet_of(inputs, *chosen), work_dir=tmp_path / "run")
    runner.train()
    loader, model = runner.run.loader, runner.run.model
    weights = [
        model.weight(batch)
        for step in range(loader.steps_per_epoch)
        for batch in loader.step(step)
        if not batch.is_filler
    ]
    assert sum(weights) == 12
    rows = metrics(tmp_path / "run")
    assert rows[-1]["accuracy"] == 1.0
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_killed_and_resumed_it_goes_on_bit_for_bit(inputs, whole, tmp_path):
    method, folder, _ = whole
    chosen = [o for o in options(inputs) if method == "lora" or not o.startswith("lora.")]
    words = ["train", METHODS[method], "--work-dir", str(tmp_path), "--cfg-options", *chosen]
    said = tmp_path.with_name(f"{tmp_path.name}_said.txt")
    process = Forked("xtune.cli.process", [*words, toy_option(inputs.model), *STEPS], said)
    checkpoints = tmp_path / "checkpoints"
    wait_until(process, lambda: lines_of(tmp_path) >= 8 and list_checkpoints(checkpoints))
    kill(process)
    assert len(metrics(tmp_path)) < 40
    train(inputs, tmp_path, method, resume="auto")
    assert numbers(tmp_path) == numbers(folder)


def test_a_checkpoint_holds_every_trained_part_and_no_frozen_one(whole):
    method, folder, runner = whole
    latest = folder / "checkpoints/latest"
    kind = {"full": "model", "lora": "adapter"}[method]
    assert {path.name for path in latest.iterdir()} == {kind, "score", "state", "meta.json"}
    meta = json.loads((latest / "meta.json").read_text())
    assert meta["parts"] == {"llm": kind, "score": "weights"}
    assert meta["format_version"] == 2
    score = nn.Linear(32, 1)
    read_module(latest / "score", score)
    assert torch.equal(score.weight, runner.run.model.score.weight)
    assert torch.equal(score.bias, runner.run.model.score.bias)


def test_the_language_model_loads_in_plain_transformers(whole, inputs):
    method, folder, runner = whole
    latest = folder / "checkpoints/latest"
    if method == "full":
        plain = AutoModelForCausalLM.from_pretrained(latest / "model")
    else:
        base = AutoModelForCausalLM.from_pretrained(inputs.model)
        plain = PeftModel.from_pretrained(base, latest / "adapter")
    ids = torch.arange(5, 25)[None]
    ours = runner.run.model.language_model
    base_of(ours).set_attn_implementation("sdpa")
    with torch.no_grad():
        expected = ours.eval()(input_ids=ids, use_cache=False).logits
        torch.testing.assert_close(plain.eval()(ids).logits, expected, rtol=1e-5, atol=1e-5)


def test_an_export_has_what_was_trained_next_to_the_model(whole, tmp_path, capsys):
    _, folder, _ = whole
    assert main(["export", str(folder), str(tmp_path / "out")]) == 0
    assert "score/: copied; it was trained next to the model" in capsys.readouterr().out
    saved = (folder / "checkpoints/latest/score/weights.safetensors").read_bytes()
    assert (tmp_path / "out/score/weights.safetensors").read_bytes() == saved


def test_a_checkpoint_without_a_part_is_not_gone_on_from(inputs, whole, tmp_path):
    method, folder, _ = whole
    step = tmp_path / "step_000040"
    shutil.copytree(folder / "checkpoints/step_000040", step)
    shutil.rmtree(step / "score")
    meta = json.loads((step / "meta.json").read_text())
    meta["parts"].pop("score")
    meta["files"] = {n: f for n, f in meta["files"].items() if not n.startswith("score/")}
    (step / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(CheckpointError, match="has weights of nothing .* trains score"):
        train(inputs, tmp_path / "run", method, "max_steps=41", resume=str(step))


def test_nor_by_an_algorithm_that_lacks_one(inputs, whole):
    _, folder, _ = whole
    model = SupervisedFinetune(load_model(str(inputs.model)))
    with pytest.raises(CheckpointError, match="has weights of score .* trains nothing there"):
        load_further_parts(model, folder / "checkpoints/step_000040")


def test_nor_against_another_reference(inputs, whole, tmp_path):
    method, folder, _ = whole
    ref = toy_option(write_tiny_llama(tmp_path / "other", seed=1))
    step = str(folder / "checkpoints/step_000040")
    with pytest.raises(CheckpointError, match=r"the weights of model\.ref are not those that"):
        train(inputs, tmp_path / "run", method, ref, "max_steps=41", resume=step)


def test_a_reference_may_move(inputs, whole, tmp_path):
    method, folder, _ = whole
    ref = toy_option(shutil.copytree(inputs.model, tmp_path / "moved"))
    step = str(folder / "checkpoints/step_000040")
    run = train(inputs, tmp_path / "run", method, ref, "max_steps=41", resume=step).run
    assert (run.step, len(metrics(tmp_path / "run"))) == (41, 1)


def test_a_head_of_another_shape_is_said_by_name(whole):
    _, folder, _ = whole
    with pytest.raises(CheckpointError, match=r"(?s)of this Linear.*size mismatch for weight"):
        read_module(folder / "checkpoints/latest/score", nn.Linear(16, 1))


@pytest.mark.parametrize("method", METHODS)
def test_it_is_estimated_with_both_models_and_dry_run(inputs, method, capsys, tmp_path):
    chosen = [o for o in options(inputs) if method == "lora" or not o.startswith("lora.")]
    words = ["--cfg-options", *chosen, toy_option(inputs.model), *STEPS]
    assert main(["estimate", METHODS[method], *words]) == 0
    assert "not counted" not in capsys.readouterr().out
    work_dir = ["--work-dir", str(tmp_path / "plan")]
    assert main(["train", METHODS[method], *work_dir, "--dry-run", *words]) == 0
    assert not (tmp_path / "plan").exists()


def test_the_estimate_counts_the_frozen_model_and_its_pass(inputs):
    from xtune.models import choose_precision
    from xtune.planning.memory import estimate_memory

    cfg = sheet_of(inputs, toy_option(inputs.model), config="custom_sft_full").values["model"]
    alone = {"type": "SupervisedFinetune", "llm": cfg["llm"]}
    found, less = (
        estimate_memory(one, choose_precision("cpu", "fp32"), [128]) for one in (cfg, alone)
    )
    weights = sum(
        weight.numel() for weight in load_file(inputs.model / "model.safetensors").values()
    )
    assert found.note == less.note == ""
    assert found.components["frozen weights"] == 4 * weights
    assert less.components["frozen weights"] == 0
    assert found.trainable == less.trainable + 33  # the head's 32 weights and its bias
