"""Loading checkpoints and tokenizers: what comes back, and what bad input gets."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from xtune.errors import ConfigError, ModelError
from xtune.models import load_config, load_model, load_tokenizer


@pytest.fixture
def copied(tiny_llama, tmp_path):
    """A checkpoint that a test may damage."""
    return shutil.copytree(tiny_llama, tmp_path / "copied")


def edit_config(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_weights(folder, change):
    file = folder / "model.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file, metadata={"format": "pt"})


def test_a_folder(tiny_llama):
    llm = load_model(str(tiny_llama), dtype="fp32")
    assert not llm.training
    assert llm.name_or_path == str(tiny_llama)
    assert llm.lm_head.weight is llm.model.embed_tokens.weight


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("fp32", torch.float32), ("bf16", torch.bfloat16), ("float16", torch.float16)],
)
def test_dtypes(tiny_llama, name, dtype):
    assert load_model(str(tiny_llama), dtype=name).dtype == dtype


def test_an_unknown_dtype_lists_the_allowed(tiny_llama):
    with pytest.raises(ConfigError, match="'bf61'; did you mean 'bf16'"):
        load_model(str(tiny_llama), dtype="bf61")


def test_the_tokenizer_keeps_its_template_and_can_pad(copied):
    file = copied / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    del settings["pad_token"]
    file.write_text(json.dumps(settings))
    tokenizer = load_tokenizer(str(copied))
    assert tokenizer.pad_token == tokenizer.eos_token == "<|im_end|>"
    assert "im_start" in tokenizer.chat_template


def test_without_weights_on_the_meta_device(tiny_llama):
    llm = load_model(str(tiny_llama), device="meta", quantization={"bits": 4})
    assert {parameter.device.type for parameter in llm.parameters()} == {"meta"}
    assert llm.lm_head.weight is llm.model.embed_tokens.weight


def test_known_architectures_need_no_file():
    internlm = load_config("internlm/internlm-7b", offline=True)
    assert (internlm.model_type, internlm.attention_bias) == ("llama", True)
    assert load_config("smollm2", offline=True).hidden_size == 576


def test_a_missing_weight_is_named(copied):
    edit_weights(copied, lambda weights: weights.pop("model.layers.1.mlp.up_proj.weight"))
    with pytest.raises(ModelError, match=r"missing: model\.layers\.1\.mlp\.up_proj\.weight"):
        load_model(str(copied))


def test_an_extra_weight_is_named(copied):
    edit_weights(
        copied,
        lambda weights: weights.update({"model.layers.0.self_attn.q_proj.bias": torch.ones(32)}),
    )
    with pytest.raises(ModelError, match=r"extra: model\.layers\.0\.self_attn\.q_proj\.bias"):
        load_model(str(copied))


def test_a_misshapen_weight_is_named_with_both_shapes(copied):
    edit_config(copied, intermediate_size=80)
    with pytest.raises(ModelError, match=r"down_proj\.weight is \[32, 64\], should be \[32, 80\]"):
        load_model(str(copied))


def test_all_problems_at_once(copied):
    def change(weights):
        weights["model.other.weight"] = weights.pop("model.norm.weight")

    edit_weights(copied, change)
    with pytest.raises(ModelError, match=r"(?s)missing: model\.norm.*extra: model\.other"):
        load_model(str(copied))


def test_an_unknown_model_type_offers_the_nearest(copied):
    edit_config(copied, model_type="qwen22")
    with pytest.raises(ModelError, match="unknown model_type 'qwen22'; did you mean 'qwen2'"):
        load_model(str(copied))


def test_a_broken_config_is_named(copied):
    (copied / "config.json").write_text("{")
    with pytest.raises(ModelError, match="config.json is not a JSON object"):
        load_model(str(copied))


def test_a_folder_without_a_config_says_what_is_in_it(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ModelError, match=r"no config\.json.*notes\.txt"):
        load_model(str(tmp_path))


def test_a_folder_without_weights(copied):
    (copied / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="safetensors"):
        load_model(str(copied))


@pytest.mark.parametrize("load", [load_model, load_tokenizer, load_config])
def test_a_path_that_is_not_there(load):
    with pytest.raises(ModelError, match="no folder './nowhere'"):
        load("./nowhere")


@pytest.mark.parametrize("load", [load_model, load_tokenizer])
def test_a_hub_id_while_offline(load):
    with pytest.raises(ModelError, match="give a folder or a .gguf file"):
        load("nobody/no-such-model")


def test_a_file_is_not_a_folder(tiny_llama):
    with pytest.raises(ModelError, match="is a file; give the folder"):
        load_model(str(tiny_llama / "model.safetensors"))


def test_a_misspelt_alias_is_offered_where_nothing_of_that_name_can_be_fetched():
    said = "'smolm2' is no folder here; did you mean 'smollm2'? And as a hub id it cannot"
    with pytest.raises(ModelError, match=re.escape(said)):
        load_config("smolm2")
