"""Liger's kernels in one model: what is replaced, and that nothing else changes.

They run on a GPU only: Triton's interpreter (3.6) does not take Liger's (0.8.5) scalar arguments.
"""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig

from tests.models.packs import pack, random_documents
from tests.models.test_sft import gradients, stirred
from xtune.models import SupervisedFinetune, load_model
from xtune.models.liger import fuse_with_liger, swap_modules

DEVICE = "cuda"


def test_a_cpu_gets_none_and_the_log_says_why(tiny_llama, caplog):
    llm = load_model(str(tiny_llama), dtype="fp32")
    kinds = [type(module) for module in llm.modules()]
    with caplog.at_level("INFO", logger="xtune.models"):
        assert fuse_with_liger(llm) == []
    assert "Liger's kernels are not used: its kernels are for GPUs, and this is cpu" in caplog.text
    assert [type(module) for module in llm.modules()] == kinds


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("kind", ["full", "lora", "nf4"])
@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gemma"])
def test_loss_and_gradients_stay_what_they_were(tiny_family, family, kind, caplog):
    pytest.importorskip("liger_kernel")
    folder = tiny_family(family, layers=2, width=64)
    batch = pack(random_documents([5, 17, 9])).to(DEVICE)
    results = []
    for fused in (False, True):
        torch.manual_seed(0)
        quantization = {"bits": 4, "compute_dtype": "fp32"} if kind == "nf4" else None
        llm = load_model(str(folder), dtype="fp32", device=DEVICE, quantization=quantization)
        adapter = LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.5)
        model = stirred(SupervisedFinetune(llm, adapter=None if kind == "full" else adapter))
        if fused:
            with caplog.at_level("INFO", logger="xtune.models"):
                replaced = swap_modules(llm)
        model.train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        loss = model(batch, normalizer=10)["loss"]
        loss.backward()
        results.append((loss.detach(), gradients(model)))
    norms = [name for name in replaced if "norm" in name]
    assert len(norms) == (9 if family == "qwen3" else 5)
    assert len(replaced) - len(norms) == (0 if family == "gemma" else 2)  # Gemma's is GELU
    assert "-> LigerRMSNorm" in caplog.text
    (plain, expected), (loss, found) = results
    torch.testing.assert_close(loss, plain, rtol=1e-4, atol=1e-5)
    assert found.keys() == expected.keys()
    for name, grad in found.items():
        torch.testing.assert_close(grad, expected[name], rtol=1e-3, atol=1e-4, msg=name)
