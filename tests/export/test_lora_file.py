"""An adapter as GGUF, and one that every reader multiplies alike."""

from __future__ import annotations

import json
import re

import pytest
import torch
from peft import LoraConfig

from tests.tiny import write_tiny_llama
from xtune.errors import ModelError
from xtune.export.gguf.lora import lora_refusal, write_lora
from xtune.export.gguf.tensors import interleaved
from xtune.export.portable_adapter import write_portable_adapter
from xtune.models import attach_adapter, load_adapter, load_model
from xtune.models.gguf_metadata import read_gguf_metadata


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lora")
    write_tiny_llama(folder / "base", width=64)
    llm = load_model(str(folder / "base"), dtype="fp32")
    config = LoraConfig(
        r=4,
        lora_alpha=8,
        use_rslora=True,
        target_modules=["q_proj", "down_proj"],
        rank_pattern={"down_proj": 2},
    )
    tuned = attach_adapter(llm, config)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
    tuned.save_pretrained(folder / "adapter")
    return folder


def loaded(saved, adapter):
    return load_adapter(load_model(str(saved / "base"), dtype="fp32"), adapter).eval()


def test_llama_cpps_product_is_pefts(saved, tmp_path):
    """alpha / rank * B A of the file, rows back in place, is what PEFT adds."""
    from gguf import GGUFReader

    base = load_model(str(saved / "base"), device="meta")
    layers = write_lora(tmp_path / "a.gguf", base, saved / "adapter", said={"general.name": "a"})
    assert layers == 4
    said = read_gguf_metadata(tmp_path / "a.gguf")
    assert (said["general.type"], said["adapter.type"]) == ("adapter", "lora")
    alpha = said["adapter.lora.alpha"]
    tensors = {
        t.name: torch.from_numpy(t.data.copy()) for t in GGUFReader(tmp_path / "a.gguf").tensors
    }
    tuned = loaded(saved, saved / "adapter")
    for gguf_name, name, heads in (
        ("blk.1.attn_q.weight", "model.layers.1.self_attn.q_proj", 4),
        ("blk.1.ffn_down.weight", "model.layers.1.mlp.down_proj", 0),
    ):
        a, b = tensors[f"{gguf_name}.lora_a"], tensors[f"{gguf_name}.lora_b"]
        product = alpha / a.shape[0] * b @ a
        module = tuned.base_model.model.get_submodule(name)
        expected = module.get_delta_weight("default").detach()
        if heads:
            expected = interleaved(expected, heads)
        assert torch.allclose(product, expected, atol=1e-6)


def test_without_rslora_the_product_is_the_same(saved, tmp_path):
    write_portable_adapter(tmp_path / "portable", saved / "adapter")
    fields = json.loads((tmp_path / "portable/adapter_config.json").read_text())
    assert (fields["lora_alpha"], fields["use_rslora"]) == (16, False)
    assert fields["alpha_pattern"] == {"down_proj": pytest.approx(8 * 2**0.5)}
    assert not {"corda_config", "bias"} & fields.keys()
    ids = torch.arange(3, 30)[None]
    with torch.no_grad():
        logits = [loaded(saved, a)(ids).logits for a in (saved / "adapter", tmp_path / "portable")]
    assert torch.allclose(*logits, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"peft_type": "IA3"}, "it is IA3"),
        ({"peft_type": "LORA", "use_dora": True}, "it is DoRA"),
        ({"peft_type": "LORA", "modules_to_save": ["lm_head"]}, "trains whole"),
        ({"peft_type": "LORA", "trainable_token_indices": [5]}, "rows of the embedding"),
        ({"peft_type": "LORA"}, "^$"),
    ],
)
def test_what_plain_lora_has_no_place_for(fields, reason):
    assert re.search(reason, lora_refusal(fields))


def test_dora_is_refused_by_name(saved, tmp_path):
    folder = tmp_path / "dora"
    write_portable_adapter(folder, saved / "adapter")
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"use_dora": True}))
    base = load_model(str(saved / "base"), device="meta")
    with pytest.raises(ModelError, match="it is DoRA.*Write the merged model"):
        write_lora(tmp_path / "a.gguf", base, folder, said={})
    assert not (tmp_path / "a.gguf").exists()
