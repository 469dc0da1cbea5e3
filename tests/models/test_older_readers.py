"""What is written keeps the names that transformers 4 reads, and 5 reads the same from it."""

from __future__ import annotations

import copy
import json
import shutil

import pytest
from transformers import AutoConfig, AutoTokenizer

from tests.tiny import write_tiny_model, write_tiny_tokenizer
from xtune.export.export import write_model
from xtune.models import load_model, load_tokenizer
from xtune.models.older_readers import name_as_before, save_tokenizer

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 512,
}
LONG = {"type": "longrope", "short_factor": [1.0, 1.1], "long_factor": [2.0, 2.5]}


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("llama", {"rope_theta": 5e5, "dtype": "bfloat16"}, {"rope_theta": 5e5}),
        (
            "llama",
            {"rope_theta": 5e5, "rope_scaling": LLAMA3},
            {"rope_theta": 5e5, "rope_scaling": LLAMA3},
        ),
        (
            "qwen2",
            {"rope_theta": 1e6, "rope_scaling": {"type": "linear", "factor": 4.0}},
            {
                "rope_theta": 1e6,
                "rope_scaling": {"type": "linear", "rope_type": "linear", "factor": 4.0},
            },
        ),
        (
            "phi3",
            {"rope_scaling": LONG, "original_max_position_embeddings": 64, "head_dim": 4},
            {"rope_theta": 10000.0, "rope_scaling": LONG},
        ),
        (
            "gemma3_text",
            {"rope_theta": 1e6, "rope_local_base_freq": 1e4, "dtype": "float32"},
            {"rope_theta": 1e6, "rope_local_base_freq": 1e4},
        ),
        ("glm", {"partial_rotary_factor": 0.5}, {"partial_rotary_factor": 0.5}),
        (
            "gpt_neox",
            {"rotary_pct": 0.25, "rotary_emb_base": 5000},
            {"rotary_pct": 0.25, "rotary_emb_base": 5000},
        ),
    ],
)
def test_the_old_names_stand_beside_the_new_ones(kind, given, expected, tmp_path):
    size = {"hidden_size": 16, "num_attention_heads": 4, "max_position_embeddings": 2048}
    config = AutoConfig.for_model(kind, **size, **copy.deepcopy(given))  # which it writes into
    config.save_pretrained(tmp_path)
    read = AutoConfig.from_pretrained(tmp_path).to_dict()
    name_as_before(tmp_path)
    fields = json.loads((tmp_path / "config.json").read_text())
    assert {name: fields.get(name) for name in expected} == expected
    assert ("rope_scaling" in fields) == ("rope_scaling" in expected)
    assert fields.get("torch_dtype") == given.get("dtype")
    assert "rope_parameters" in fields
    assert AutoConfig.from_pretrained(tmp_path).to_dict() == read


def test_a_model_that_is_written_has_them(tmp_path):
    folder = write_tiny_model(tmp_path / "base", "llama", rope_theta=5e5)
    write_model(
        tmp_path / "out", load_model(str(folder), dtype="fp32"), load_tokenizer(str(folder)), {}
    )
    fields = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (fields["rope_theta"], fields["torch_dtype"]) == (5e5, "float32")


@pytest.mark.parametrize("declared", ["LlamaTokenizerFast", "PreTrainedTokenizerFast"])
def test_the_class_of_the_source_is_kept_where_it_reads_the_same(declared, tmp_path):
    source = write_tiny_model(tmp_path / "source", "llama")
    file = source / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"tokenizer_class": declared}))
    tokenizer = load_tokenizer(str(source))
    save_tokenizer(tokenizer, tmp_path / "adapter")  # with no config.json next to it
    shutil.copytree(tmp_path / "adapter", tmp_path / "model")
    shutil.copyfile(source / "config.json", tmp_path / "model" / "config.json")
    for name in ("adapter", "model"):
        fields = json.loads((tmp_path / name / "tokenizer_config.json").read_text())
        assert fields["tokenizer_class"] == declared
        read = AutoTokenizer.from_pretrained(tmp_path / name)
        assert read.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
        assert read.special_tokens_map == tokenizer.special_tokens_map


def test_a_class_of_foreign_code_becomes_the_generic_one(tmp_path):
    source = write_tiny_tokenizer(tmp_path / "source")
    file = source / "tokenizer_config.json"
    tokenizer = load_tokenizer(str(source))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"tokenizer_class": "OursTokenizer"}))
    save_tokenizer(tokenizer, tmp_path / "out")
    fields = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert fields["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_further_special_tokens_have_their_old_name(tmp_path):
    tokenizer = load_tokenizer(str(write_tiny_tokenizer(tmp_path / "source")))
    tokenizer.add_special_tokens({"extra_special_tokens": ["<extra>"]})
    save_tokenizer(tokenizer, tmp_path / "out")
    fields = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert fields["additional_special_tokens"] == ["<extra>"]
    assert "extra_special_tokens" not in fields  # transformers 4 fails on a list
    assert AutoTokenizer.from_pretrained(tmp_path / "out").extra_special_tokens == ["<extra>"]
