"""int4: GPTQ against rounding to the nearest, the packed form, and what transformers reads."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from tests.tiny import write_tiny_llama
from xtune.errors import ModelError, UsageError
from xtune.export import int4_folder
from xtune.export.int4.calibrate import change_alone, change_by_rows, group_of, linears_of
from xtune.export.int4.compressed import packed, write_packed
from xtune.export.int4.gptq import gptq, nearest
from xtune.models import load_model


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_tiny_llama(tmp_path_factory.mktemp("int4") / "base", width=64, tied=False)


def rows(count=24, length=48, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, 120, (count, length), generator=generator).tolist()


def test_the_outputs_of_a_layer_change_less_than_by_rounding_alone():
    generator = torch.Generator().manual_seed(0)
    mixed = torch.randn(64, 64, generator=generator)
    inputs = torch.randn(400, 64, generator=generator) @ mixed  # columns that hang together
    weight = torch.randn(32, 64, generator=generator)
    hessian = 2 * inputs.T @ inputs
    ours, plain = gptq(weight, hessian.clone(), 32), nearest(weight, 32)
    errors = [float(((r.weight - weight) @ inputs.T).norm()) for r in (ours, plain)]
    assert errors[0] < 0.7 * errors[1]
    assert ours.codes.dtype == torch.int8
    assert ours.scales.shape == (32, 2)


def test_what_nearest_means():
    weight = torch.tensor([[-7.5, 7.5, 3.2, 0.4]])
    rounded = nearest(weight, 4)
    assert rounded.codes.tolist() == [[-8, 7, 3, 0]]
    assert rounded.scales.tolist() == [[1.0]]
    assert rounded.weight.tolist() == [[-8.0, 7.0, 3.0, 0.0]]


def test_eight_codes_a_number_the_first_in_the_lowest_bits():
    codes = torch.tensor([[-8, -7, -6, 0, 0, 0, 0, -8, 7, 0, 0, 0, 0, 0, 0, 7]], dtype=torch.int8)
    first, second = packed(codes)[0].tolist()
    assert first == 0x08888210
    assert second == 0xF888888F - 2**32


def test_a_calibrated_model_comes_nearer_than_a_rounded_one(base):
    llm = load_model(str(base), dtype="fp32")
    linears = linears_of(llm)
    assert len(linears) == 14  # seven of each of two layers, and no head
    group = group_of(linears)
    assert group == 64
    held_out = torch.tensor(rows(4, seed=1))

    def logits():
        with torch.no_grad():
            return llm(input_ids=held_out, use_cache=False).logits

    whole = logits()
    before = change_alone(linears, lambda weight: nearest(weight, group).weight)
    by_nearest = float((logits() - whole).norm())
    for name, weight in before.items():
        linears[name].weight.data = weight
    assert torch.equal(logits(), whole)
    rounded = {}

    def to_codes(name, weight, hessian):
        rounded[name] = gptq(weight, hessian, group)
        return rounded[name].weight

    change_by_rows(llm, linears, rows(), to_codes)
    assert float((logits() - whole).norm()) < by_nearest
    name = "model.layers.1.mlp.down_proj"
    assert torch.equal(linears[name].weight, rounded[name].weight)


def test_the_folder_says_how_it_is_packed(base, tmp_path):
    llm = load_model(str(base), dtype="fp32")
    llm.save_pretrained(tmp_path / "out")
    linears = linears_of(llm)
    made = {name: nearest(linear.weight, 64) for name, linear in linears.items()}
    write_packed(tmp_path / "out", llm.state_dict(), made, group=64, ignored=["lm_head"])
    tensors = load_file(tmp_path / "out/model.safetensors")
    name = "model.layers.0.self_attn.k_proj.weight"
    assert name not in tensors
    assert tensors[f"{name}_packed"].shape == (32, 8)
    assert tensors[f"{name}_scale"].shape == (32, 1)
    assert tensors[f"{name}_shape"].tolist() == [32, 64]
    assert tensors["lm_head.weight"].shape == (384, 64)
    said = json.loads((tmp_path / "out/config.json").read_text())["quantization_config"]
    assert (said["quant_method"], said["format"]) == ("compressed-tensors", "pack-quantized")
    assert said["config_groups"]["group_0"]["weights"]["group_size"] == 64
    assert said["ignore"] == ["lm_head"]


def test_transformers_reads_what_we_rounded(base, tmp_path):
    pytest.importorskip("compressed_tensors", reason="pip install '.[int4]'")
    from transformers import AutoModelForCausalLM

    llm = load_model(str(base), dtype="fp32")
    llm.save_pretrained(tmp_path / "out")
    linears = linears_of(llm)
    made = {name: nearest(linear.weight, 64) for name, linear in linears.items()}
    write_packed(tmp_path / "out", llm.state_dict(), made, group=64, ignored=["lm_head"])
    change_alone(linears, lambda weight: nearest(weight, 64).weight)
    read = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto")
    ids = torch.tensor(rows(2))
    with torch.no_grad():
        assert torch.equal(read(input_ids=ids).logits, llm(input_ids=ids).logits)


def test_what_is_refused(base, tmp_path, monkeypatch):
    from xtune.export.tiny import write_tiny

    monkeypatch.setattr(int4_folder.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install '.\[int4\]'"):
        int4_folder.export_int4(str(base), tmp_path / "out", adapter=None, notes={}, rows=rows())
    write_tiny(tmp_path / "moe", "Qwen/Qwen3-30B-A3B-Base")
    with pytest.raises(ModelError, match="has all experts in one tensor"):
        linears_of(load_model(str(tmp_path / "moe"), dtype="fp32"))
