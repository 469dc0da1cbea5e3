"""`gradient_checkpointing='auto'`: what is chosen for how much memory, and that a run takes it."""

from __future__ import annotations

import pytest

from tests.runs import losses, sheet_of
from tests.tiny import write_tiny_llama
from xtune.config import render
from xtune.engine.runner import Runner
from xtune.engine.strategies.single import SingleStrategy
from xtune.planning.recomputation import choose_checkpointing
from xtune.planning.requirement import DeviceMemory, need_of


@pytest.fixture(scope="module")
def cfg(tmp_path_factory):
    folder = write_tiny_llama(tmp_path_factory.mktemp("models") / "llama", layers=12)
    options = [f"pretrained_model_name_or_path={folder}", "max_length=4096", "lora.r=4"]
    options += ["gradient_checkpointing='auto'", "model.activation_offload=True"]
    return render("custom_sft_lora", options).values


@pytest.mark.slow
def test_the_fastest_that_fits_is_chosen(cfg):
    strategy = SingleStrategy(precision="fp32", device="cpu")

    def needs(policy):
        settings = {"gradient_checkpointing": policy, "activation_offload": policy is not False}
        changed = {**cfg, "model": {**cfg["model"], **settings}}
        return need_of(changed, strategy.precision, DeviceMemory("cuda", None)).gib

    sizes = [needs(policy) for policy in (False, 4, 3, 2, True)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)
    for policy, size in zip((False, 4, 3, 2, True), sizes, strict=True):
        # 10 % of the memory is kept free
        chosen = choose_checkpointing(cfg, strategy.precision, DeviceMemory("cuda", size / 0.8999))
        assert chosen["gradient_checkpointing"] is policy
        assert chosen["activation_offload"] is (policy is not False)
    nothing_fits = choose_checkpointing(cfg, strategy.precision, DeviceMemory("cuda", 0.001))
    assert nothing_fits["gradient_checkpointing"] is True


def test_a_run_says_what_it_chose_and_takes_the_same_steps(inputs, tmp_path, caplog):
    steps = {}
    for policy in ("'auto'", "False"):
        sheet = sheet_of(inputs, "max_steps=2", f"gradient_checkpointing={policy}")
        with caplog.at_level("INFO", logger="xtune.engine"):
            Runner(sheet, work_dir=tmp_path / policy).train()
        steps[policy] = losses(tmp_path / policy)
    assert steps["'auto'"] == steps["False"]
    assert "gradient_checkpointing: no layer; about 0." in caplog.text
