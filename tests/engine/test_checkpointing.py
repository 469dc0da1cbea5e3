"""`gradient_checkpointing='auto'`: what is chosen for how much memory, and that a run takes it."""

from __future__ import annotations

import pytest
import torch

from tests.runs import losses, sheet_of
from tests.tiny import write_tiny_llama
from xtune.engine.checkpointing import choose_checkpointing, free_memory
from xtune.engine.runner import Runner
from xtune.engine.strategies.single import SingleStrategy
from xtune.models import estimate_memory

TOKENS = 4096


@pytest.fixture(scope="module")
def model_cfg(tmp_path_factory):
    folder = write_tiny_llama(tmp_path_factory.mktemp("models") / "llama", layers=12)
    return {
        "type": "SupervisedFinetune",
        "llm": {"type": "CausalLM", "pretrained_model_name_or_path": str(folder)},
        "adapter": {"type": "LoraConfig", "r": 4},
        "gradient_checkpointing": "auto",
        "activation_offload": True,
    }


def test_the_fastest_that_fits_is_chosen(model_cfg):
    strategy = SingleStrategy(precision="fp32", device="cpu")

    def needs(policy):
        settings = model_cfg | {"gradient_checkpointing": policy}
        settings["activation_offload"] = policy is not False
        return estimate_memory(settings, strategy.precision, TOKENS).total

    sizes = [needs(policy) for policy in (False, 4, 3, 2, True)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)
    for policy, size in zip((False, 4, 3, 2, True), sizes, strict=True):
        # 15 % of the memory is kept free
        chosen = choose_checkpointing(model_cfg, strategy, TOKENS, memory=int(size / 0.849))
        assert chosen["gradient_checkpointing"] is policy
        assert chosen["activation_offload"] is (policy is not False)
    nothing_fits = choose_checkpointing(model_cfg, strategy, TOKENS, memory=1)
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


def test_free_memory_of_the_cpu_is_what_the_system_has():
    assert 2**28 < free_memory(torch.device("cpu")) < 2**45
