"""A process of a sharded run is killed in the middle of a step; resumed, the run is whole."""

from __future__ import annotations

import os
import signal

import pytest

from tests.integration.test_ddp import processes_of, run, start, wait_for_steps
from tests.runs import losses
from xtune.checkpoint.folder import list_checkpoints

SHARDED = {
    "fsdp": ("custom_sft_full", {"type": "FSDPStrategy", "precision": "fp32"}),
    "zero3": (
        "custom_sft_lora",
        {"type": "DeepSpeedStrategy", "config": "deepspeed_zero3", "precision": "fp32"},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fsdp", "zero3"])
def test_the_losses_are_those_of_a_run_never_stopped(inputs, tmp_path, name):
    config, strategy = SHARDED[name]
    steps = ["max_steps=60", "save_steps=20", f"strategy={strategy!r}"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run(inputs, whole, *steps, config=config)
    process = start(inputs, cut, *steps, config=config)
    wait_for_steps(process, cut, 30)
    os.kill(processes_of(cut)[-1], signal.SIGKILL)
    said = process.communicate(timeout=60)[0]  # as long as it may take everywhere
    assert process.returncode == 1, said
    assert list_checkpoints(cut / "checkpoints")[0][0] == 20, said
    run(inputs, cut, *steps, config=config, resume=True)
    assert losses(cut) == losses(whole)
