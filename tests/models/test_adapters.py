"""Adapters: saved ones load elsewhere, what does not fit is refused, merging changes nothing."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from peft import LNTuningConfig, LoraConfig, PeftModel
from transformers import AutoModelForCausalLM

from tests.models.families.cases import bloom
from tests.tiny import write_tiny_llama
from xtune.errors import AdapterError
from xtune.models import (
    SupervisedFinetune,
    attach_adapter,
    base_fingerprint,
    generation_mode,
    load_adapter,
    load_model,
    merge_adapter,
)
from xtune.models.adapters import without_idle_adapter
from xtune.models.self_test import check_packed_logits
from xtune.models.tied import embedding_and_head, is_tied

IDS = torch.tensor([[5, 6, 7, 8, 9, 10]])


def logits(llm):
    with torch.no_grad():
        return llm.eval()(input_ids=IDS, use_cache=False).logits


def trained_adapter(folder, config=None, seed=1):
    """A model with an adapter whose weights are not those it began with."""
    llm = attach_adapter(load_model(str(folder), dtype="fp32"), config or LoraConfig(r=4))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in llm.parameters():
            if parameter.requires_grad:
                parameter += torch.randn(parameter.shape, generator=generator) * 0.1
    return llm


def write_facts(folder, llm, **changes):
    """xtune.json, as the engine's checkpoints have it."""
    facts = {
        "format_version": 1,
        "base_model": llm.get_base_model().name_or_path,
        "base_vocab_size": llm.get_base_model().config.vocab_size,
        "base_fingerprint": base_fingerprint(llm),
    }
    (folder / "xtune.json").write_text(json.dumps(facts | changes))


@pytest.fixture
def saved(tiny_llama, tmp_path):
    """An adapter's folder, and the logits it gives."""
    llm = trained_adapter(tiny_llama, LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    llm.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    write_facts(tmp_path / "adapter", llm)
    return tmp_path / "adapter", logits(llm)


def test_plain_peft_loads_it_on_plain_transformers(saved, tiny_llama):
    folder, expected = saved
    assert (logits(load_model(str(tiny_llama), dtype="fp32")) - expected).abs().max() > 0.01
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_llama), folder)
    torch.testing.assert_close(logits(plain), expected, rtol=0, atol=0)


def test_load_adapter_gives_the_same(saved, tiny_llama):
    folder, expected = saved
    llm = load_adapter(load_model(str(tiny_llama), dtype="fp32"), folder)
    torch.testing.assert_close(logits(llm), expected, rtol=0, atol=0)
    assert not any(parameter.requires_grad for parameter in llm.parameters())
    again = load_adapter(load_model(str(tiny_llama), dtype="fp32"), folder, is_trainable=True)
    assert any(parameter.requires_grad for parameter in again.parameters())


def test_a_base_in_another_number_format_is_the_same_base(saved, tiny_llama):
    folder, expected = saved
    llm = load_adapter(load_model(str(tiny_llama), dtype="bf16"), folder)
    torch.testing.assert_close(logits(llm).float(), expected, rtol=0.1, atol=0.2)


def test_the_bases_name_is_recorded_as_the_user_wrote_it(saved, tiny_llama):
    config = json.loads((saved[0] / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tiny_llama)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"vocab": 400}, "with a vocabulary of 384; .* has 400"),
        ({"seed": 9}, "same vocabulary but is another model"),
        ({"layers": 1}, "same vocabulary but is another model"),
    ],
    ids=["vocabulary", "weights", "layers"],
)
def test_another_base_is_refused_with_the_reason(saved, tmp_path, settings, reason):
    llm = load_model(str(write_tiny_llama(tmp_path / "other", **settings)), dtype="fp32")
    before = logits(llm)
    with pytest.raises(AdapterError, match=reason):
        load_adapter(llm, saved[0])
    torch.testing.assert_close(logits(llm), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"width": 64}, r"is \[4, 32\] in the file, \[4, 64\] would fit"),
        ({"layers": 1}, r"it changes .*layers\.1.*, which the model does not have"),
        ({"layers": 3}, r"it has no weight .*layers\.2"),
    ],
    ids=["width", "fewer layers", "more layers"],
)
def test_without_xtune_json_the_shapes_decide(saved, tmp_path, settings, reason):
    (saved[0] / "xtune.json").unlink()
    llm = load_model(str(write_tiny_llama(tmp_path / "other", **settings)), dtype="fp32")
    before, names = logits(llm), [name for name, _ in llm.named_modules()]
    with pytest.raises(AdapterError, match=reason):
        load_adapter(llm, saved[0])
    assert [name for name, _ in llm.named_modules()] == names  # left as it was
    torch.testing.assert_close(logits(llm), before, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_folder_without_an_adapter_is_refused(saved, tiny_llama, name):
    (saved[0] / name).unlink()
    with pytest.raises(AdapterError, match=f"{name} is missing.*checkpoints/latest/adapter"):
        load_adapter(load_model(str(tiny_llama)), saved[0])


def test_a_damaged_file_is_refused(saved, tiny_llama):
    file = saved[0] / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(AdapterError, match="damaged"):
        load_adapter(load_model(str(tiny_llama)), saved[0])


def test_a_damaged_record_is_refused(saved, tiny_llama):
    (saved[0] / "xtune.json").write_text('{"base_model": ')
    with pytest.raises(AdapterError, match="xtune.json is damaged"):
        load_adapter(load_model(str(tiny_llama)), saved[0])


def test_a_refused_adapter_with_a_whole_head_leaves_tied_weights_tied(tiny_llama, tmp_path):
    config = LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["lm_head"])
    trained_adapter(tiny_llama, config).save_pretrained(tmp_path / "adapter")
    other = load_model(str(write_tiny_llama(tmp_path / "other", vocab=400)), dtype="fp32")
    with pytest.raises(AdapterError, match=r"is \[384, 32\] in the file, \[400, 32\] would fit"):
        load_adapter(other, tmp_path / "adapter")
    assert other.lm_head.weight is other.model.embed_tokens.weight


@pytest.mark.filterwarnings("ignore:.*save_embedding_layers", "ignore:.*tie_word_embeddings")
def test_an_adapted_embedding_whose_base_peft_saved_too(untied_llama, tmp_path):
    llm = trained_adapter(untied_llama, LoraConfig(r=4, target_modules=["q_proj", "embed_tokens"]))
    llm.save_pretrained(tmp_path)
    loaded = load_adapter(load_model(str(untied_llama), dtype="fp32"), tmp_path)
    torch.testing.assert_close(logits(loaded), logits(llm), rtol=0, atol=0)


def test_target_modules_that_do_not_exist_are_refused(tiny_llama):
    with pytest.raises(AdapterError, match="c_attn"):
        attach_adapter(load_model(str(tiny_llama)), LoraConfig(target_modules=["c_attn"]))


def test_the_callers_config_is_not_written_into(tiny_llama):
    config = LoraConfig(r=4)
    before = config.to_dict()
    attach_adapter(load_model(str(tiny_llama)), config)
    assert config.to_dict() == before


def test_no_target_modules_means_every_linear_layer_but_the_head(untied_llama):
    llm = attach_adapter(load_model(str(untied_llama)), LoraConfig(r=4))
    adapted = {name.split(".")[-2] for name, _ in llm.named_modules() if name.endswith("lora_A")}
    assert adapted == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("modules_to_save", [None, ["lm_head"], ["embed_tokens", "lm_head"]])
@pytest.mark.filterwarnings("ignore:.*tie_word_embeddings", "ignore:.*ensure_weight_tying")
def test_merged_equals_unmerged_also_when_saved(tiny_family, tmp_path, tied, modules_to_save):
    folder = tiny_family("llama", tied=tied)
    llm = trained_adapter(folder, LoraConfig(r=4, modules_to_save=modules_to_save))
    expected = logits(llm)
    merged = merge_adapter(llm)
    # fp32 rounds the merged weight once; how far that shows depends on what was drawn
    torch.testing.assert_close(logits(merged), expected, rtol=1e-4, atol=1e-4)
    assert not any("lora" in name for name, _ in merged.named_modules())
    merged.save_pretrained(tmp_path / "merged")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(again), expected, rtol=1e-4, atol=1e-4)
    assert (again.lm_head.weight is again.model.embed_tokens.weight) == tied


def test_tied_weights_that_are_trained_stay_tied(tiny_llama, tmp_path):
    llm = trained_adapter(tiny_llama, LoraConfig(r=4, modules_to_save=["embed_tokens"]))
    base = llm.get_base_model()
    trained = base.get_input_embeddings().modules_to_save["default"].weight
    assert base.get_output_embeddings().weight is trained or torch.equal(
        base.get_output_embeddings().modules_to_save["default"].weight, trained
    )
    expected = logits(llm)
    llm.save_pretrained(tmp_path / "adapter")
    plain = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(tiny_llama), tmp_path / "adapter"
    )
    torch.testing.assert_close(logits(plain), expected, rtol=0, atol=0)
    ours = load_adapter(load_model(str(tiny_llama), dtype="fp32"), tmp_path / "adapter")
    torch.testing.assert_close(logits(ours), expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["embed_tokens", "model.embed_tokens", "lm_head"])
def test_a_tied_weight_by_any_name_is_trained_as_one(tiny_llama, tmp_path, name):
    llm = trained_adapter(tiny_llama, LoraConfig(r=4, modules_to_save=[name]))
    embedding, head = embedding_and_head(llm.get_base_model()).values()
    assert head.modules_to_save["default"].weight is embedding.modules_to_save["default"].weight
    expected = logits(llm)
    llm.save_pretrained(tmp_path / "adapter")
    again = load_adapter(load_model(str(tiny_llama), dtype="fp32"), tmp_path / "adapter")
    torch.testing.assert_close(logits(again), expected, rtol=0, atol=0)
    merged = merge_adapter(again)
    torch.testing.assert_close(logits(merged), expected, rtol=1e-4, atol=1e-4)
    assert merged.lm_head.weight is merged.model.embed_tokens.weight
    assert merged.config.tie_word_embeddings


def test_a_tied_weight_of_a_family_with_names_of_its_own_is_trained_as_one(tmp_path):
    folder = bloom.CASES[0].write(tmp_path / "bloom")
    llm = trained_adapter(folder, LoraConfig(r=4, modules_to_save=["word_embeddings"]))
    assert set(llm.peft_config["default"].modules_to_save) == {"word_embeddings", "lm_head"}
    expected = logits(llm)
    llm.save_pretrained(tmp_path / "adapter")
    plain = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), tmp_path / "adapter"
    )
    torch.testing.assert_close(logits(plain), expected, rtol=1e-5, atol=1e-5)
    merged = merge_adapter(
        load_adapter(load_model(str(folder), dtype="fp32"), tmp_path / "adapter")
    )
    assert merged.get_output_embeddings().weight is merged.get_input_embeddings().weight


@pytest.mark.parametrize("target", ["embed_tokens", "lm_head"])
def test_lora_on_one_of_a_tied_pair_unties_when_it_is_merged(tiny_llama, tmp_path, target):
    llm = trained_adapter(tiny_llama, LoraConfig(r=4, target_modules=["q_proj", target]))
    assert is_tied(llm.get_base_model())  # in training there is one frozen weight
    expected = logits(llm)
    merged = merge_adapter(llm)
    torch.testing.assert_close(logits(merged), expected, rtol=1e-4, atol=1e-4)
    assert not merged.config.tie_word_embeddings
    merged.save_pretrained(tmp_path / "merged")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(again), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("parameter", ["embed_tokens.weight", "lm_head.weight"])
def test_lora_on_a_parameter_of_a_tied_pair(tiny_llama, parameter):
    config = LoraConfig(r=4, target_modules=["q_proj"], target_parameters=[parameter])
    llm = trained_adapter(tiny_llama, config)
    expected = logits(llm)
    torch.testing.assert_close(logits(merge_adapter(llm)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_two_adapters_that_peft_ties_are_refused(tiny_llama, untied_llama, dtype):
    config = LoraConfig(r=4, target_modules=["embed_tokens"], ensure_weight_tying=True)
    with pytest.raises(AdapterError, match="ensure_weight_tying=True makes the adapter of lm_head"):
        attach_adapter(load_model(str(tiny_llama), dtype=dtype), config)
    attach_adapter(load_model(str(untied_llama), dtype=dtype), config)  # nothing to tie
    whole = LoraConfig(r=4, modules_to_save=["embed_tokens"], ensure_weight_tying=True)
    attach_adapter(load_model(str(tiny_llama), dtype=dtype), whole)


def test_a_lora_bias_with_no_bias_to_merge_into_is_refused(tiny_llama, tiny_family):
    with pytest.raises(AdapterError, match="q_proj, .* have none in the base"):
        attach_adapter(load_model(str(tiny_llama)), LoraConfig(r=4, lora_bias=True))
    config = LoraConfig(r=4, lora_bias=True, target_modules=["q_proj"])  # Qwen2's has one
    llm = trained_adapter(tiny_family("qwen2"), config)
    expected = logits(llm)
    torch.testing.assert_close(logits(merge_adapter(llm)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "config",
    [
        LoraConfig(r=4, modules_to_save=["lm_head"]),
        LoraConfig(r=4, modules_to_save=["model.norm"]),
        LoraConfig(r=4, bias="all"),
        LNTuningConfig(),
    ],
    ids=["head", "norm", "biases", "norms"],
)
def test_what_is_trained_whole_is_fp32_in_a_16_bit_base(tiny_family, config):
    folder = tiny_family("qwen2")
    model = SupervisedFinetune(load_model(str(folder), dtype="bf16"), adapter=config)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    check_packed_logits(model)
    plain = logits(load_model(str(folder), dtype="bf16"))
    with generation_mode(model.llm):
        tuned = logits(model.llm)
    assert tuned.dtype == torch.bfloat16
    torch.testing.assert_close(tuned, plain, rtol=0.05, atol=0.05)


def test_a_moved_base_is_still_the_base(saved, tiny_llama, tmp_path):
    shutil.copytree(tiny_llama, tmp_path / "moved")
    llm = load_adapter(load_model(str(tmp_path / "moved"), dtype="fp32"), saved[0])
    torch.testing.assert_close(logits(llm), saved[1], rtol=0, atol=0)


@pytest.mark.parametrize("trained", [False, True])
def test_an_adapter_that_adds_nothing_is_left_out_and_comes_back(tiny_llama, trained):
    llm = attach_adapter(load_model(str(tiny_llama)), LoraConfig(r=4))
    if trained:
        with torch.no_grad():
            next(p for name, p in llm.named_parameters() if "lora_B" in name).fill_(0.1)
    needed = {name: p.requires_grad for name, p in llm.named_parameters()}
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        expected = llm(ids).logits
        with without_idle_adapter(llm):
            assert llm.get_model_status().enabled is trained
            assert torch.equal(llm(ids).logits, expected)
    assert llm.get_model_status().enabled
    assert {name: p.requires_grad for name, p in llm.named_parameters()} == needed


@pytest.mark.parametrize("setting", [{"init_lora_weights": "pissa"}, {"use_dora": True}])
def test_an_adapter_that_changes_the_base_is_not_left_out(tiny_llama, setting):
    llm = attach_adapter(load_model(str(tiny_llama)), LoraConfig(r=4, **setting))
    with without_idle_adapter(llm):
        assert llm.get_model_status().enabled
