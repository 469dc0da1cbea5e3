"""`xtune export` and `xtune list-models`, as a user types them."""

from __future__ import annotations

import json
import logging

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.models.families.cases import baichuan, internlm2
from tests.tiny import write_tiny_llama
from xtune.cli.entry import main
from xtune.models import attach_adapter, load_model, load_tokenizer

IDS = torch.tensor([[5, 6, 7, 8, 9]])


@pytest.fixture
def base(tmp_path):
    return internlm2.write(tmp_path / "internlm2", internlm2.CONFIG)


@pytest.fixture
def adapter(base, tmp_path):
    """An adapter that changes the logits, and the logits with it."""
    from peft import LoraConfig

    tuned = attach_adapter(load_model(str(base), dtype="fp32"), LoraConfig(r=2))
    generator = torch.Generator().manual_seed(0)
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
    tuned.save_pretrained(str(tmp_path / "adapter"))
    with torch.no_grad():
        return tmp_path / "adapter", tuned.eval()(IDS, use_cache=False).logits


@torch.no_grad()
def logits(llm):
    return llm(IDS, use_cache=False).logits


def test_xtuners_merge_does_the_same_to_its_end(base, adapter, tmp_path, capsys):
    folder, _ = adapter
    assert main(["convert", "merge", str(base), str(folder), str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert f"with {folder} merged in" in said
    assert f"talk to it: xtune chat {tmp_path / 'out'}" in said
    assert main(["export", str(base), str(tmp_path / "same"), "--adapter", str(folder)]) == 0
    merged, same = (tmp_path / at / "model.safetensors" for at in ("out", "same"))
    assert merged.read_bytes() == same.read_bytes()
    assert main(["convert", "merge", str(base), str(folder), str(tmp_path / "out")]) == 2


def test_an_adapter_merged_in_both_layouts(base, adapter, tmp_path, capsys):
    folder, expected = adapter
    words = ["export", str(base), "--adapter", str(folder), "--dtype", "fp32"]
    assert main([*words, str(tmp_path / "plain")]) == 0
    assert "transformers layout" in capsys.readouterr().out
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "plain", dtype=torch.float32)
    torch.testing.assert_close(logits(plain), expected, rtol=1e-4, atol=1e-4)
    assert main([*words, str(tmp_path / "own"), "--layout", "original"]) == 0
    fields = json.loads((tmp_path / "own/config.json").read_text())
    assert fields["architectures"] == ["InternLM2ForCausalLM"]
    assert fields["auto_map"] == internlm2.CONFIG["auto_map"]
    assert (tmp_path / "own/tokenizer.model").is_file()
    torch.testing.assert_close(
        logits(load_model(str(tmp_path / "own"), dtype="fp32")), expected, rtol=1e-4, atol=1e-4
    )
    text = "Give three tips, 上海"
    own, published = load_tokenizer(str(tmp_path / "own")), load_tokenizer(str(base))
    assert own(text)["input_ids"] == published(text)["input_ids"]
    assert not list(tmp_path.glob("*.part"))


def test_the_dtype_is_the_published_one(base, tmp_path, capsys):
    assert main(["export", str(base), str(tmp_path / "out")]) == 0
    assert "bfloat16" in capsys.readouterr().out


def test_a_layout_that_a_model_does_not_have(base, tmp_path, tiny, capsys):
    alibi = baichuan.write(tmp_path / "b", baichuan.FIRST_13B, "bin")
    out = str(tmp_path / "out")
    assert main(["export", str(alibi), out, "--layout", "transformers"]) == 2
    assert "its layouts: original" in capsys.readouterr().err
    assert main(["export", str(alibi), out]) == 0
    assert "original layout" in capsys.readouterr().out
    assert main(["export", str(tiny), str(tmp_path / "other"), "--layout", "original"]) == 2
    assert "leave --layout out" in capsys.readouterr().err


@pytest.fixture
def tiny(tmp_path):
    from tests.tiny import write_tiny_llama

    return write_tiny_llama(tmp_path / "llama")


def test_wrong_inputs_have_true_exit_codes(base, tmp_path, capsys):
    (tmp_path / "there").mkdir()
    assert main(["export", str(base), str(tmp_path / "there")]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["export", str(base), str(tmp_path / "x"), "--adapter", "nothing"]) == 2
    assert main(["export", str(tmp_path / "nowhere"), str(tmp_path / "x")]) == 2
    assert not (tmp_path / "x").exists()


def test_list_models_names_every_family_with_its_differences(capsys):
    from xtune.models.families import all_families

    assert main(["list-models"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for family in all_families().values():
        assert family.title in printed
        for hub_id in family.published:
            assert hub_id in printed
        for sentence in family.differences:
            assert sentence in printed
    assert main(["list-models", "-p", "BAICHUAN2-13b"]) == 0
    assert "InternLM" not in capsys.readouterr().out
    assert main(["list-models", "-p", "nothing-like-this"]) == 1


@pytest.mark.parametrize("eos", ["<|im_end|>", "What is"])
def test_tokens_without_a_row_are_said_and_an_end_without_one_is_refused(tmp_path, caplog, eos):
    model = write_tiny_llama(tmp_path / "llama")
    tokenizer = load_tokenizer(str(model))
    tokenizer.add_tokens("What is")
    tokenizer.eos_token = eos
    tokenizer.save_pretrained(model)
    with caplog.at_level(logging.WARNING, "xtune"):
        code = main(["export", str(model), str(tmp_path / "out")])
    said = "has 1 tokens with ids from 384 on ('What is'), but the embedding of"
    assert (code == 0) == (eos == "<|im_end|>") == (tmp_path / "out").exists()
    assert (said in caplog.text) == (code == 0)
