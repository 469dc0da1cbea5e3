"""xtune estimate, as a user types it."""

from __future__ import annotations

import re

import pytest

from tests.runs import options
from xtune.cli.entry import main


def test_it_says_what_is_needed_and_that_it_fits(inputs, capsys):
    words = ["estimate", "custom_sft_lora", "--gpu-memory", "8GB"]
    assert main([*words, "--cfg-options", *options(inputs)]) == 0
    out = capsys.readouterr().out
    assert "4,096 trained of 34,976 parameters (11.71 %)" in out
    assert "fits a GPU of 8 GB" in out
    sizes = {name: float(size) for size, name in re.findall(r"([\d.]+) GiB  ([\w ]+)", out)}
    assert {"frozen weights", "trained weights", "gradients", "optimizer"} <= sizes.keys()
    assert {"activations", "loss", "one layer", "runtime"} <= sizes.keys()
    total = float(re.search(r"about ([\d.]+) GiB", out)[1])
    assert total == pytest.approx(sum(sizes.values()), abs=0.1)


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
