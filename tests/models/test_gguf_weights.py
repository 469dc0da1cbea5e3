"""Weights of GGUF files: bit for bit, and under the names, that transformers makes of them."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, GgufConfig

from xtune.errors import ModelError
from xtune.models.gguf_metadata import read_gguf_metadata
from xtune.models.gguf_weights import UNPACKED_HERE, is_unpacked_here, unpacked_model

PACKINGS = ("Q4_1", "Q8_0", "F16", "Q5_0", "BF16", "Q4_0", "F32")
SIZES = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
HEADS = {"qwen3": 128}  # the length that transformers takes for all of its files; 16 in others


def write(file, architecture, *, tied, leave_out=""):
    """A file of random numbers, in one packing after the other, for a model of two layers."""
    head = HEADS.get(architecture, 16)
    config = CONFIG_MAPPING[architecture](**SIZES, head_dim=head)
    with torch.device("meta"):
        shapes = AutoModelForCausalLM.from_config(config).state_dict()
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_context_length(128)
    writer.add_embedding_length(64)
    writer.add_block_count(2)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_layer_norm_rms_eps(1e-5)
    if tied:  # else it is counted
        writer.add_vocab_size(96)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(3)
    writer.add_unk_token_id(4)
    writer.add_rope_freq_base(5e5)
    writer.add_rope_dimension_count(head)
    writer.add_token_list([f"token {number}" for number in range(96)])
    writer.add_tensor("rope_freqs.weight", np.ones(8, dtype=np.float32))  # no weight of the model
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.upper()], 2)
    numbers = np.random.default_rng(0)
    for at, (name, weight) in enumerate(shapes.items()):
        if name == leave_out or (tied and name == "lm_head.weight"):
            continue
        values = numbers.standard_normal(weight.shape, dtype=np.float32)
        kind = gguf.GGMLQuantizationType[
            PACKINGS[at % len(PACKINGS)] if weight.ndim == 2 else "F32"
        ]
        packed = gguf.quantize(values, kind)
        writer.add_tensor(names.get_name(name, (".weight", ".bias")), packed, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize(
    ("architecture", "tied"),
    [
        (architecture, tied)
        for architecture in UNPACKED_HERE
        for tied in (True, False)
        if tied or architecture != "gemma2"  # GGUF has no name for a head of Gemma 2's own
    ],
)
def test_they_are_what_transformers_makes_of_them(architecture, tied, tmp_path):
    write(tmp_path / "a.gguf", architecture, tied=tied)
    ours = unpacked_model(tmp_path / "a.gguf", read_gguf_metadata(tmp_path / "a.gguf"))
    theirs = AutoModelForCausalLM.from_pretrained(
        tmp_path,
        gguf_file="a.gguf",
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    mine, expected = ours.state_dict(), theirs.state_dict()
    assert mine.keys() == expected.keys()
    for name, weight in expected.items():
        assert torch.equal(mine[name].view(torch.int32), weight.view(torch.int32)), name
    assert ours.config.tie_word_embeddings == tied
    assert (ours.lm_head.weight is ours.model.embed_tokens.weight) == tied
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    files = sorted(path.name for path in (tmp_path / "theirs").iterdir())
    assert files == ["config.json", "generation_config.json", "model.safetensors"]
    for name in files:
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()


def test_a_file_without_one_of_the_weights_is_refused(tmp_path):
    write(tmp_path / "a.gguf", "llama", tied=True, leave_out="model.layers.1.mlp.up_proj.weight")
    with pytest.raises(
        ModelError, match=r"for 1 parameters of its model \(llama\), the first.*up_proj"
    ):
        unpacked_model(tmp_path / "a.gguf", read_gguf_metadata(tmp_path / "a.gguf"))


def test_other_kinds_are_left_to_transformers():
    assert is_unpacked_here({"general.architecture": "llama", "general.name": "SmolLM2"})
    assert not is_unpacked_here({"general.architecture": "llama", "general.name": "mistral"})
    assert not is_unpacked_here({"general.architecture": "lfm2"})
    assert not is_unpacked_here({})
