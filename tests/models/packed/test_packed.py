"""GPTQ, AWQ and compressed-tensors: read as they are laid out, trained on, merged."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models.packs import pack, random_documents
from tests.packed_checkpoint import write_packed
from tests.tiny import write_tiny_llama
from xtune.errors import ConfigError, ModelError
from xtune.models import (
    base_fingerprint,
    build_model,
    load_adapter,
    load_config,
    load_model,
    merge_adapter,
)
from xtune.models.packed.linear import PackedLinear
from xtune.models.packed.packing import packing_of

_COMPRESSED = {"method": "compressed-tensors"}
LAYOUTS = {
    "gptq": {"method": "gptq"},
    "gptq v2": {"method": "gptq", "version": "gptq_v2"},
    "gptq, act-order": {"method": "gptq", "act_order": True, "with_bias": True},
    "gptq, one group": {"method": "gptq", "group": -1},
    "gptq, 2 bits": {"method": "gptq", "bits": 2},
    "gptq, 3 bits": {"method": "gptq", "bits": 3},
    "gptq, 8 bits": {"method": "gptq", "bits": 8},
    "awq": {"method": "awq"},
    "compressed": {**_COMPRESSED, "symmetric": True},
    "compressed, zeros": _COMPRESSED,
    "compressed, 8 bits": {**_COMPRESSED, "bits": 8, "group": -1, "symmetric": True},
    "compressed, act-order": {**_COMPRESSED, "act_order": True, "symmetric": True},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_tiny_llama(tmp_path_factory.mktemp("packed") / "base", width=64, tied=False)


@pytest.fixture(scope="module")
def published(tmp_path_factory, base):
    """Layout -> folder and the weights that it stands for, written once each."""
    made = {}

    def of(layout):
        if layout not in made:
            folder = tmp_path_factory.mktemp("packed") / "model"
            made[layout] = folder, write_packed(folder, base, **LAYOUTS[layout])
        return made[layout]

    return of


def sheet(folder, **more):
    llm = {"type": "CausalLM", "pretrained_model_name_or_path": str(folder), "dtype": "fp32"}
    adapter = {"type": "LoraConfig", "r": 4}
    return {"type": "SupervisedFinetune", "llm": llm, "adapter": adapter} | more


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_is_read_as_it_is_laid_out(layout, published, base):
    folder, weights = published(layout)
    llm = load_model(str(folder), dtype="fp32")
    plain = load_model(str(base), dtype="fp32")
    packed = {name: one for name, one in llm.named_modules() if isinstance(one, PackedLinear)}
    assert packed.keys() == weights.keys()
    assert len(packed) == 14
    for name, weight in weights.items():
        assert torch.equal(packed[name].weight, weight)
        plain.get_submodule(name).weight.data = weight
    ids = torch.randint(3, 300, (2, 24), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, expected = (one(input_ids=ids, use_cache=False).logits for one in (llm, plain))
    assert torch.allclose(ours, expected, rtol=0, atol=1e-5)
    words = sum(p.numel() * p.itemsize for m in packed.values() for p in m.parameters())
    bits = 8 * words / sum(w.numel() for w in weights.values())
    assert bits < LAYOUTS[layout].get("bits", 4) + 1.5  # they stay packed


@pytest.mark.parametrize("layout", ["gptq, act-order", "awq", "compressed"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_is_that_of_the_unpacked_weight(layout, dtype, published):
    folder, weights = published(layout)
    name, weight = next(iter(weights.items()))
    llm = load_model(str(folder), dtype=str(dtype).removeprefix("torch."))
    layer = llm.get_submodule(name)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(7, weight.shape[1], generator=generator).to(dtype)
    ours, plain = (x.clone().requires_grad_() for _ in range(2))
    push = torch.randn(7, weight.shape[0], generator=generator).to(dtype)
    layer(ours).backward(push)
    torch.nn.functional.linear(plain, layer.weight).backward(push)
    assert torch.equal(ours.grad, plain.grad)
    expected = push.float() @ weight.to(dtype).float()
    nearly = 1e-2 if dtype == torch.bfloat16 else 1e-5
    assert torch.allclose(ours.grad.float(), expected, rtol=nearly, atol=nearly)
    assert all(p.grad is None for p in layer.parameters())


def test_under_autocast_it_multiplies_in_16_bits(published):
    folder, weights = published("gptq")
    layer = load_model(str(folder), dtype="fp32").get_submodule(next(iter(weights)))
    x = torch.randn(3, layer.in_features, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
    assert out.dtype == torch.bfloat16
    out.sum().backward()
    assert x.grad.dtype == torch.float32


@pytest.mark.parametrize("layout", ["gptq, act-order", "awq", "compressed, zeros"])
def test_an_adapter_learns_on_it_and_merges_into_what_it_stands_for(layout, published, tmp_path):
    folder, weights = published(layout)
    torch.manual_seed(0)
    model = build_model(sheet(folder, gradient_checkpointing=True))
    batch = pack(random_documents([20, 30], trained=1.0))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(12):
        loss = model(batch, normalizer=batch.trained_tokens)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5
    peft_model = model.language_model.eval()
    base = peft_model.get_base_model()
    for name, weight in weights.items():
        assert torch.equal(base.get_submodule(name).base_layer.weight, weight)
    peft_model.save_pretrained(tmp_path / "adapter")
    ids = batch.input_ids[:, :20]
    again = load_adapter(load_model(str(folder), dtype="fp32"), tmp_path / "adapter").eval()
    with torch.no_grad():
        before = again(input_ids=ids, use_cache=False).logits
    merged = merge_adapter(again)
    assert not any(isinstance(m, PackedLinear) for m in merged.modules())
    with torch.no_grad():
        assert torch.allclose(merged(input_ids=ids, use_cache=False).logits, before, atol=1e-4)
    merged.save_pretrained(tmp_path / "merged")
    assert "quantization_config" not in json.loads((tmp_path / "merged/config.json").read_text())
    name = "model.layers.1.mlp.down_proj"
    stored = load_file(tmp_path / "merged/model.safetensors")[f"{name}.weight"]
    change = stored - weights[name]
    assert torch.linalg.matrix_rank(change, tol=1e-4) == 4  # the base is what it stands for


def test_it_is_the_same_base_loaded_again(published, tmp_path):
    folder, _ = published("gptq")
    model = build_model(sheet(folder))
    model.language_model.save_pretrained(tmp_path / "adapter")
    again = load_model(str(folder), dtype="fp32")
    assert base_fingerprint(again) == base_fingerprint(model.language_model)
    assert load_adapter(again, tmp_path / "adapter") is not None


def test_a_draft_has_the_bytes_of_the_packed_model(published, base):
    from xtune.engine.build import count_parameters
    from xtune.models.flops import count_work
    from xtune.models.precision import choose_precision
    from xtune.planning.memory import estimate_memory

    for layout in ("gptq, act-order", "awq", "compressed, zeros"):
        folder, weights = published(layout)
        whole = build_model(sheet(folder))
        draft = build_model(sheet(folder), device="meta")
        shapes = [{name: p.shape for name, p in one.named_parameters()} for one in (whole, draft)]
        assert shapes[0] == shapes[1]
        frozen = sum(p.numel() * p.itemsize for p in whole.parameters() if not p.requires_grad)
        estimate = estimate_memory(sheet(folder), choose_precision("cpu"), 32)
        assert not estimate.note
        assert estimate.components["frozen weights"] == frozen
        dense = sum(w.numel() for w in weights.values())
        others = 2 * 384 * 64 + 5 * 64
        trained = sum(4 * sum(w.shape) for w in weights.values())
        assert count_parameters(draft) == (trained, dense + others + trained)
        assert estimate.parameters == dense + others + trained
        assert count_work(draft) == count_work(whole) == count_work(build_model(sheet(base)))


def test_what_is_refused(published, base, tmp_path):
    folder, _ = published("gptq")
    with pytest.raises(ConfigError, match="packed already \\(GPTQ, 4 bits\\)"):
        load_model(str(folder), quantization={"bits": 4})
    with pytest.raises(ConfigError, match="cannot be trained: train an adapter on them"):
        build_model(sheet(folder, adapter=None))
    config = load_config(str(folder))
    for change, message in (
        ({"bits": 5}, "gptq with bits 5"),
        ({"checkpoint_format": "marlin"}, "checkpoint_format 'marlin'"),
        ({"dynamic": {"+:.*down.*": {"bits": 8}}}, "some layers"),
        ({"quant_method": "awq", "checkpoint_format": "gemv"}, "awq with version 'gemv'"),
    ):
        config.quantization_config = load_config(str(folder)).quantization_config | change
        with pytest.raises(ModelError, match=message):
            packing_of(config)
    config.quantization_config = {"quant_method": "fp8"}
    assert packing_of(config) is None

    write_packed(tmp_path / "bias", base, "gptq", with_bias=True)
    file = tmp_path / "bias/model.safetensors"
    tensors = load_file(file)
    tensors["model.layers.0.mlp.up_proj.bias"][3] = 1
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="up_proj has a bias"):
        load_model(str(tmp_path / "bias"))
    del tensors["model.layers.0.mlp.up_proj.qzeros"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="qzeros"):
        load_model(str(tmp_path / "bias"))
