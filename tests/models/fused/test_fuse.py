"""Whole models, fused and plain: losses, gradients, checkpoints, and what the log says."""

from __future__ import annotations

import logging

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict
from torch import nn
from transformers import AutoModelForCausalLM

from tests.models.fused.draws import draw_alike
from tests.models.packs import pack, random_documents
from tests.models.test_sft import gradients, stirred
from xtune.models import SupervisedFinetune, generation_mode, load_model, merge_adapter
from xtune.models.fused import fuse

LENGTHS = [5, 17, 1, 9]
FAMILIES = {
    "llama": ("llama", {"kv_heads": 4}),
    "grouped": ("llama", {"kv_heads": 2}),
    "biased": ("qwen2", {}),
    "window": ("mistral", {"sliding_window": 4}),
    "normed": ("qwen3", {}),  # norms on queries and keys
}


def build(folder, adapter, *, dtype="fp32", **settings):
    llm = load_model(str(folder), dtype=dtype)
    torch.manual_seed(0)  # of the adapter's start
    model = stirred(SupervisedFinetune(llm, adapter=adapter, **settings))
    draw_alike(model)
    return model


def adapters():
    return {
        "lora": LoraConfig(r=4),
        "dropout": LoraConfig(r=4, lora_dropout=0.2),
        "full": None,
    }


def step(model, *, autocast=False):
    torch.manual_seed(7)  # of the dropout
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = model(pack(random_documents(LENGTHS)), normalizer=10)["loss"]
    loss.backward()
    return loss.detach(), gradients(model)


@pytest.mark.parametrize("adapter", adapters())
@pytest.mark.parametrize("family", FAMILIES)
def test_fused_equals_plain_in_fp32(tiny_family, family, adapter):
    name, settings = FAMILIES[family]
    folder = tiny_family(name, **settings)
    plain, fused = (build(folder, adapters()[adapter], fused=on) for on in (False, True))
    assert any(type(layer).__name__.startswith("Fused") for layer in fused.modules())
    assert not any(type(layer).__name__.startswith("Fused") for layer in plain.modules())
    (loss, grads), (expected, wanted) = step(fused), step(plain)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(grads, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("adapter", adapters())
@pytest.mark.parametrize("family", ["grouped", "biased", "window"])
def test_fused_is_as_near_to_fp32_as_plain_in_bf16(tiny_family, family, adapter):
    name, settings = FAMILIES[family]
    folder = tiny_family(name, **settings)
    dtype = "fp32" if adapter == "full" else "bf16"

    def errors(fused):
        model = build(folder, adapters()[adapter], dtype=dtype, fused=fused)
        exact = build(folder, adapters()[adapter], dtype=dtype, fused=False).float()
        (loss, grads), (true, true_grads) = step(model, autocast=True), step(exact)
        assert (loss - true).abs() < 0.02 * true
        both = torch.cat([(grads[n] - true_grads[n]).flatten() for n in grads])
        return both.norm() / torch.cat([g.flatten() for g in true_grads.values()]).norm()

    assert errors(fused=True) < 1.5 * errors(fused=False)  # of one draw


@pytest.mark.parametrize("adapter", ["lora", "dropout", "full"])
def test_checkpointed_equals_plain(tiny_family, adapter):
    folder = tiny_family("llama", kv_heads=2)
    fused = build(folder, adapters()[adapter], gradient_checkpointing=True)
    plain = build(folder, adapters()[adapter], fused=False)
    (loss, grads), (expected, wanted) = step(fused), step(plain)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(grads, wanted, rtol=1e-4, atol=1e-5)


def test_what_is_saved_is_peft_s_and_loads_in_plain_peft(tiny_family, tmp_path):
    folder = tiny_family("llama", kv_heads=2)
    plain, fused = (build(folder, LoraConfig(r=4), fused=on) for on in (False, True))
    assert list(get_peft_model_state_dict(fused.llm)) == list(get_peft_model_state_dict(plain.llm))
    assert list(fused.state_dict()) == list(plain.state_dict())
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with generation_mode(fused.llm):
        expected = fused.llm(input_ids=ids).logits
        generated = fused.llm.generate(input_ids=ids, max_new_tokens=6, do_sample=False)
        with fused.llm.disable_adapter():
            without = fused.llm(input_ids=ids).logits
    fused.llm.save_pretrained(tmp_path)
    base = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        torch.testing.assert_close(without, base(input_ids=ids).logits, rtol=1e-4, atol=1e-5)
        loaded = PeftModel.from_pretrained(base, tmp_path)
        torch.testing.assert_close(loaded(input_ids=ids).logits, expected, rtol=1e-4, atol=1e-5)
        assert torch.equal(
            loaded.generate(input_ids=ids, max_new_tokens=6, do_sample=False), generated
        )
        merged = merge_adapter(fused.llm)
        merged.set_attn_implementation("sdpa")
        torch.testing.assert_close(merged(input_ids=ids).logits, expected, rtol=1e-4, atol=1e-4)
    assert not any("lora" in name for name, _ in merged.named_modules())


@pytest.mark.parametrize("bits", [4, 8])
def test_a_quantized_base(tiny_family, bits):
    pytest.importorskip("bitsandbytes")
    folder = tiny_family("llama", kv_heads=2, width=64)

    def make(fused):
        llm = load_model(str(folder), dtype="bf16", quantization={"bits": bits})
        torch.manual_seed(0)
        return stirred(SupervisedFinetune(llm, adapter=LoraConfig(r=4), fused=fused))

    fused, plain = make(True), make(False)
    adopted = [type(m).__name__ for m in fused.modules() if hasattr(m, "lora_A")]
    assert all(name.startswith("Fused") == (bits == 4) for name in adopted)
    (loss, grads), (expected, wanted) = step(fused, autocast=True), step(plain, autocast=True)
    torch.testing.assert_close(loss, expected, rtol=1e-2, atol=0)
    for name, grad in grads.items():
        assert (grad - wanted[name]).norm() < 0.1 * wanted[name].norm(), name


def test_the_log_says_what_was_fused_and_what_was_not(tiny_family, caplog):
    caplog.set_level(logging.INFO, "xtune")
    fuse(load_model(str(tiny_family("llama", kv_heads=2)), dtype="fp32"))
    assert "fused: 2 attention layers, 5 norms" in caplog.text
    assert "left" not in caplog.text
    fuse(load_model(str(tiny_family("gemma")), dtype="fp32"))
    assert "left as their own code computes them: 5 norms" in caplog.text


def test_a_model_without_known_layers_is_left_alone(caplog):
    caplog.set_level(logging.INFO, "xtune")
    assert fuse(nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))) == {}
    assert "fused: nothing" in caplog.text
