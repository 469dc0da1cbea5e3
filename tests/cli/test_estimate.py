"""xtune estimate, as a user types it."""

from __future__ import annotations

import re

import pytest

from tests.runs import options
from xtune.cli.entry import main
from xtune.config.strategies import SHARDINGS, Traits
from xtune.planning import advice


def test_it_says_what_is_needed_and_that_it_fits(capsys):
    words = ["estimate", "smollm2_135m_lora_alpaca", "--gpu-memory", "8GB"]
    assert main([*words, "--cfg-options", "max_length=4096", "accumulative_counts=1"]) == 0
    out = capsys.readouterr().out
    assert "4,884,480 trained of 139,399,488 parameters (3.50 %)" in out
    assert "fits a GPU of 8 GB" in out
    sizes = {name: float(size) for size, name in re.findall(r"([\d.]+) GiB  ([\w ]+)", out)}
    assert {"frozen weights", "trained weights", "optimizer", "activations"} <= sizes.keys()
    assert {"runtime", "loss"} <= sizes.keys()
    assert "gradients" not in sizes  # there are none yet: a line of 0.00 says nothing
    total = float(re.search(r"at most ([\d.]+) GiB, while the loss is computed", out)[1])
    assert total == pytest.approx(sum(sizes.values()), abs=0.1)
    assert "of 4,096 tokens: the data are not read yet, so one row is taken to have" in out


@pytest.mark.parametrize("verb", ["estimate", "scaling"])
def test_no_data_are_needed(verb, inputs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # custom_sft_lora's example lies in the checkout
    options = [f"pretrained_model_name_or_path={inputs.model}", "data_path=nowhere.jsonl"]
    assert main([verb, "custom_sft_lora", "--cfg-options", *options]) == 0
    assert main(["check", "custom_sft_lora", "--cfg-options", *options]) == 2
    assert "nowhere.jsonl" in capsys.readouterr().out


def test_weights_that_do_not_fit_are_not_estimated_for_minutes(monkeypatch, capsys):
    """Mixtral's experts stay in 16 bits: no shorter sample makes 87 GiB fit, and none is tried."""
    estimates = []
    estimate = advice.need_of
    monkeypatch.setattr(advice, "need_of", lambda *a, **k: estimates.append(1) or estimate(*a, **k))
    assert main(["estimate", "mixtral_8x7b_lora_alpaca", "--gpu-memory", "24GB"]) == 1
    said = capsys.readouterr().out
    assert "looking for what would" in said
    assert "nothing that is tried here makes it fit 24.0 GiB" in said
    assert len(estimates) == 1  # with quantization


def test_what_does_not_fit_ends_with_1_and_options_that_do(inputs, capsys):
    chosen = [o for o in options(inputs) if not o.startswith("lora.")]
    words = ["estimate", "custom_sft_full", "--gpu-memory", "0.69", "--cfg-options", *chosen]
    words += ["max_length=8192"]
    assert main(words) == 1
    out = capsys.readouterr().out
    assert "does not fit a GPU of 0.69 GB" in out
    advised = re.search(r"it fits with: xtune train custom_sft_full --cfg-options (.+)", out)[1]
    assert main([*words, *advised.split()]) == 0


@pytest.mark.parametrize(
    "words", [["--gpu-memory", "big"], ["--gpu-memory", "0"], ["--devices", "0"], ["--gpu", "1 2"]]
)
def test_what_is_no_number_is_misuse(words, capsys):
    assert main(["estimate", "smollm2_135m_lora_toolcall", *words]) == 2
    assert capsys.readouterr().out == ""


def test_a_model_that_nobody_knows_here_is_a_failure(capsys):
    option = ["--cfg-options", "pretrained_model_name_or_path=nobody/nothing"]
    assert main(["estimate", "smollm2_135m_lora_toolcall", *option]) == 1
    assert "nobody/nothing" in capsys.readouterr().err


def test_what_the_strategy_refuses_is_said_before_a_run_is_paid_for(inputs, capsys):
    """A pattern of modules tells nothing before there is a model; then it is the run's own text."""
    chosen = [*options(inputs), r"lora.target_modules=.*\.q_proj|lm_head"]
    chosen.remove("strategy.precision=fp32")
    words = ["estimate", "custom_sft_lora", "--gpu-memory", "80", "--cfg-options", *chosen]
    assert main(words) == 0
    assert "refused" not in capsys.readouterr().out
    assert main([*words, "strategy={'type':'DeepSpeedStrategy','config':'deepspeed_zero3'}"]) == 1
    refusal = SHARDINGS["zero3"].refuses(Traits(adapter_on_head=True))
    assert f"refused: {refusal}\n" in capsys.readouterr().out
