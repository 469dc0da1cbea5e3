"""All weights, and an adapter on an NF4 base with 8-bit AdamW: trained, killed, resumed."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.runs import losses, sheet_of
from xtune.engine.runner import Runner

CONFIGS = {"full": "smollm2_135m_full_toolcall", "qlora": "custom_sft_qlora"}
FURTHER = {"full": ["val_data_path=None"], "qlora": ["optimizer.type=AdamW8bit", "lora.r=64"]}


@pytest.fixture(scope="module", params=CONFIGS)
def resumed(request, inputs, tmp_path_factory):
    """A run of 8 steps, and one that was ended after 5 and resumed."""
    name = request.param
    base = tmp_path_factory.mktemp(name)

    def run(work_dir, further, resume=None):
        chosen = ["max_steps=8", *FURTHER[name], *further]
        sheet = sheet_of(inputs, *chosen, config=CONFIGS[name])
        return Runner(sheet, work_dir=work_dir, resume=resume).train()

    run(base / "whole", [])
    # The same run, cut after the save of step 5 by an error in the middle of step 6.
    crash = "default_hooks.tensorboard={'type': 'tests/integration/crash.py:CrashAt', 'step': 6}"
    with pytest.raises(RuntimeError, match="the test's crash"):
        run(base / "cut", [crash])
    return name, base, run(base / "cut", [], resume="auto")


def test_the_resumed_run_equals_the_uninterrupted_one(resumed):
    _, base, _ = resumed
    assert losses(base / "cut") == losses(base / "whole")


def test_the_whole_model_loads_in_plain_transformers(resumed):
    name, base, trained = resumed
    if name != "full":
        pytest.skip("this one has an adapter")
    folder = base / "cut" / "checkpoints" / "latest" / "model"
    plain = AutoModelForCausalLM.from_pretrained(folder)
    assert plain.config.use_cache
    ours = dict(trained.llm.state_dict())
    for key, value in plain.state_dict().items():
        assert torch.equal(value, ours[key]), key
