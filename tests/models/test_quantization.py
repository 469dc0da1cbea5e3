"""QLoRA on a CPU: 4-bit weights that stay, an adapter that learns."""

from __future__ import annotations

import json
import logging

import pytest
import torch
from bitsandbytes.nn import Linear4bit, Linear8bitLt
from peft import LoraConfig

from tests.models.packs import pack, random_documents
from xtune.errors import AdapterError, ConfigError
from xtune.models import (
    SupervisedFinetune,
    attach_adapter,
    base_fingerprint,
    build_model,
    choose_precision,
    load_adapter,
    load_model,
    merge_adapter,
)
from xtune.models.quantization import quantization_config


@pytest.fixture(scope="module")
def folder(tiny_family):
    return str(tiny_family("llama", width=64, initializer_range=0.05))


def test_nf4_trains_on_a_cpu(folder):
    torch.manual_seed(0)
    model = build_model(
        {
            "type": "SupervisedFinetune",
            "llm": {
                "type": "CausalLM",
                "pretrained_model_name_or_path": folder,
                "quantization": {"bits": 4, "quant_type": "nf4", "double_quant": True},
            },
            "adapter": {"type": "LoraConfig", "r": 8},
            "gradient_checkpointing": True,
        }
    )
    packed = [m for m in model.modules() if isinstance(m, Linear4bit)]
    assert len(packed) == 14  # 7 in each of 2 layers; not the head
    assert all(m.weight.dtype == torch.uint8 and m.weight.quant_type == "nf4" for m in packed)
    frozen = [m.weight.detach().clone() for m in packed]

    batch = pack(random_documents([20, 30], trained=1.0))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(15):
        loss = model(batch, normalizer=batch.trained_tokens)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())

    assert losses[-1] < losses[0] - 1
    assert all(torch.equal(m.weight, before) for m, before in zip(packed, frozen, strict=True))
    assert all(p.dtype == torch.float32 for p in model.parameters() if p.requires_grad)


def test_gradients_are_those_of_the_unpacked_weights_also_after_an_evaluation(folder):
    """bitsandbytes repacks weights in evaluation on some processors; that form has no gradient."""
    from bitsandbytes.functional import dequantize_4bit

    torch.manual_seed(0)
    packed = load_model(folder, dtype="fp32", quantization={"bits": 4, "compute_dtype": "fp32"})
    plain = load_model(folder, dtype="fp32")
    for name, module in packed.named_modules():
        if isinstance(module, Linear4bit):
            weight = dequantize_4bit(module.weight.data, module.weight.quant_state)
            plain.get_submodule(name).weight.data = weight.float()
    batch = pack(random_documents([20, 30], trained=1.0))
    losses, gradients = [], []
    for llm in (packed, plain):
        torch.manual_seed(1)
        adapter = LoraConfig(r=4, init_lora_weights=False)
        model = SupervisedFinetune(llm, adapter=adapter)
        model.eval()
        with torch.no_grad():
            model(batch, normalizer=1)
        model.train()
        loss = model(batch, normalizer=batch.trained_tokens)["loss"]
        losses.append(loss.detach())
        gradients.append(
            torch.autograd.grad(loss, [p for p in model.parameters() if p.requires_grad])
        )
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-4)
    for ours, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-4)


def test_nf4_stays_near_the_plain_weights(folder):
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        expected = load_model(folder, dtype="fp32")(ids).logits
        packed = load_model(folder, dtype="fp32", quantization={"bits": 4})(ids).logits
    assert not torch.equal(packed, expected)
    assert torch.corrcoef(torch.stack([packed.flatten(), expected.flatten()]))[0, 1] > 0.95


@pytest.mark.parametrize("width", [32, 80])  # rows of 64: half a block, and one and a quarter
def test_layers_that_are_no_whole_blocks_are_quantized_as_any(tiny_family, width):
    """On some processors bitsandbytes repacks weights, and fails at rows that are no whole blocks.

    Layers that are whole blocks are repacked, with scales in bf16: hence the tolerance.
    """
    from bitsandbytes.functional import dequantize_4bit

    folder = str(tiny_family("llama", width=width, initializer_range=0.05))
    settings = {"bits": 4, "compute_dtype": "fp32"}
    packed = load_model(folder, dtype="fp32", quantization=settings)
    plain = load_model(folder, dtype="fp32")
    for name, module in packed.named_modules():
        if isinstance(module, Linear4bit):
            weight = dequantize_4bit(module.weight.data, module.weight.quant_state)
            plain.get_submodule(name).weight.data = weight.float()
    with torch.no_grad():
        for ids in (torch.tensor([[5, 6, 7, 8]]), torch.tensor([[5]])):  # a prompt, and one token
            torch.testing.assert_close(packed(ids).logits, plain(ids).logits, rtol=0, atol=5e-3)


def test_int8_loads_and_is_quiet(folder, caplog):
    llm = load_model(folder, quantization={"bits": 8})
    assert sum(isinstance(m, Linear8bitLt) for m in llm.modules()) == 14
    # That a layer casts what it is given is no news for each of its calls; anything else is
    llm(input_ids=torch.tensor([[5, 6, 7]]), use_cache=False)
    logging.getLogger("bitsandbytes.autograd._functions").warning("something else")
    assert [one.getMessage() for one in caplog.records if "bitsandbytes" in one.name] == [
        "something else"
    ]


@pytest.mark.parametrize("bits", [4, 8, None])
def test_an_adapter_trained_on_packed_weights_loads_on_any_form_of_its_base(folder, tmp_path, bits):
    ids = torch.tensor([[5, 6, 7, 8]])
    llm = attach_adapter(load_model(folder, quantization={"bits": 4}), LoraConfig(r=4))
    with torch.no_grad():
        for parameter in llm.parameters():
            if parameter.requires_grad:
                parameter += 0.05
    llm.save_pretrained(tmp_path)
    (tmp_path / "xtune.json").write_text(json.dumps({"base_fingerprint": base_fingerprint(llm)}))
    base = load_model(folder, quantization={"bits": bits} if bits else None)
    loaded = load_adapter(base, tmp_path)
    if bits == 4:
        with torch.no_grad():
            torch.testing.assert_close(loaded(ids).logits, llm.eval()(ids).logits)


def test_merging_into_packed_weights_is_refused(folder):
    llm = attach_adapter(load_model(folder, quantization={"bits": 4}), LoraConfig(r=4))
    with pytest.raises(AdapterError, match="without quantization"):
        merge_adapter(llm)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bit": 4}, "unknown key 'bit' in quantization; did you mean 'bits'"),
        ({"bits": 3}, "bits=3; allowed are 4 and 8"),
        ({"quant_type": "nf5"}, "'nf5'; allowed are 'nf4' and 'fp4'"),
        ({"compute_dtype": "bf61"}, "did you mean 'bf16'"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        quantization_config(settings, choose_precision())


def test_the_settings_that_reach_bitsandbytes():
    config = quantization_config({"double_quant": False}, choose_precision("cpu", "bf16"))
    assert config.load_in_4bit
    assert not config.bnb_4bit_use_double_quant
    assert config.bnb_4bit_compute_dtype == torch.bfloat16


def test_experts_that_stay_in_16_bits_are_reported(tiny_family, caplog):
    folder = tiny_family("mixtral", num_local_experts=2)
    with caplog.at_level("WARNING", logger="xtune.models"):
        load_model(str(folder), dtype="fp32", quantization={"bits": 4, "compute_dtype": "fp32"})
    assert "weights of mixtral, its experts, are not quantized" in caplog.text
    caplog.clear()
    load_model(str(folder), dtype="fp32")
    assert not caplog.records
