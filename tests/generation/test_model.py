"""Loading a model with the template it was trained with, and refusing what does not fit."""

from __future__ import annotations

import json

import pytest
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.tiny import write_tiny_llama
from xtune.errors import AdapterError, ModelError, UsageError
from xtune.generation.generate import prompt_ids
from xtune.generation.model import ChatModel

HI = [{"role": "user", "content": "Who are you?"}]


@pytest.fixture
def adapter(tmp_path, parrot_folder):
    """An adapter on the parrot that makes it another bird, with a template of its own."""
    llm = AutoModelForCausalLM.from_pretrained(parrot_folder)
    peft_model = get_peft_model(llm, LoraConfig(r=4, target_modules="all-linear"))
    for name, parameter in peft_model.named_parameters():
        if "lora_B" in name:
            parameter.data.fill_(0.05)
    folder = tmp_path / "adapter"
    peft_model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(parrot_folder)
    tokenizer.chat_template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}"
    tokenizer.save_pretrained(folder)
    notes = {"system": "Speak.", "stop_words": ["!!"], "template": "own"}
    (folder / "xtune.json").write_text(json.dumps(notes))
    return folder


def test_the_template_stop_words_and_system_prompt_are_the_adapters(adapter, parrot, parrot_folder):
    model = ChatModel.load(str(parrot_folder), adapter=adapter)
    assert model.tokenizer.chat_template.startswith("{% for m in messages %}[")
    assert (model.stop_words, model.system) == (("!!",), "Speak.")
    assert parrot.answer_batch([HI], max_new_tokens=20) == ["A parrot."]
    assert prompt_ids(model.tokenizer, HI) != prompt_ids(parrot.tokenizer, HI)


def test_an_adapter_without_a_tokenizer_uses_the_models(adapter, parrot_folder):
    (adapter / "tokenizer_config.json").unlink()
    (adapter / "tokenizer.json").unlink()
    model = ChatModel.load(str(parrot_folder), adapter=adapter)
    assert "<|im_start|>" in model.tokenizer.chat_template


def test_an_adapter_of_another_model_is_refused_with_the_reason(adapter, tmp_path):
    other = write_tiny_llama(tmp_path / "other", width=32)
    with pytest.raises(AdapterError, match="another model"):
        ChatModel.load(str(other), adapter=adapter)


def test_a_named_template_takes_the_place_of_the_tokenizers(parrot_folder):
    model = ChatModel.load(str(parrot_folder), prompt_template="chatml")
    assert "<|im_end|>" in model.stop_words
    assert model.answer_batch([HI], max_new_tokens=20) == ["A parrot."]


def test_without_any_template_the_choices_are_named(tmp_path):
    folder = write_tiny_llama(tmp_path / "base")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(UsageError, match=r"--prompt-template \S*chatml\S*llama3_chat"):
        ChatModel.load(str(folder))


def test_no_such_model():
    with pytest.raises(ModelError, match="no_such_model"):
        ChatModel.load("no_such_model")


@pytest.mark.parametrize("bits", [4, 8])
def test_quantized(parrot_folder, bits):
    model = ChatModel.load(str(parrot_folder), bits=bits)
    assert getattr(model.llm, f"is_loaded_in_{bits}bit")
    answer = model.answer_batch([HI], max_new_tokens=20)
    assert bits == 4 or answer == ["A parrot."]
