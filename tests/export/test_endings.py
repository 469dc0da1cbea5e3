"""Plain transformers and PEFT stop where `xtune chat` does, by the files that are saved."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from peft import AutoPeftModelForCausalLM, LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from tests.data.tiny_tokenizer import tiny_tokenizer
from xtune.data.fingerprint import fingerprint_tokenizer
from xtune.data.templates import build_template
from xtune.data.templates.end_ids import stop_words_of
from xtune.data.templates.named import trained_templates
from xtune.export.endings import eos_to_write
from xtune.export.export import write_adapter, write_model
from xtune.export.merge import export_model
from xtune.generation.model import ChatModel
from xtune.models import attach_adapter, load_model, load_tokenizer

NOTES = {"stop_words": ["<|im_end|>"], "template": "chatml"}
ASKED = [{"role": "user", "content": "Who are you?"}]
ANSWER = "A parrot.<|im_end|>"


@pytest.fixture(scope="module")
def base(parrot_folder, tmp_path_factory):
    """The parrot with a base model's files: its end token is <|endoftext|>, its template nobody's.

    It writes <|im_end|> after an answer, as a base does that was trained with chatml.
    """
    folder = tmp_path_factory.mktemp("base") / "parrot"
    shutil.copytree(parrot_folder, folder)
    for name in ("config.json", "generation_config.json"):
        fields = json.loads((folder / name).read_text()) | {"eos_token_id": 0, "pad_token_id": 0}
        (folder / name).write_text(json.dumps(fields))
    fields = json.loads((folder / "tokenizer_config.json").read_text())
    fields |= {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(fields))
    (folder / "chat_template.jinja").unlink()
    return folder


@pytest.fixture
def tokenizer(base):
    """As a run has it: the base's, with the template that is trained."""
    own = load_tokenizer(str(base))
    own.chat_template = build_template("chatml", own).jinja
    return own


def answered(llm, tokenizer, **settings):
    """What plain `generate` writes for the question, end token and all."""
    text = tokenizer.apply_chat_template(ASKED, add_generation_prompt=True, tokenize=False)
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")
    with torch.no_grad():
        out = llm.eval().generate(**ids, max_new_tokens=24, do_sample=False, **settings)
    return tokenizer.decode(out[0, ids["input_ids"].shape[1] :])


def fields_of(folder, name):
    return json.loads((folder / name).read_text())


def test_a_whole_model_stops_in_plain_transformers(base, tokenizer, tmp_path):
    llm = load_model(str(base), dtype="fp32")
    assert answered(llm, tokenizer).startswith(ANSWER)
    assert answered(llm, tokenizer) != ANSWER  # what its files say lets it run on
    write_model(tmp_path / "model", llm, tokenizer, NOTES)
    plain = AutoTokenizer.from_pretrained(tmp_path / "model")
    read = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    assert answered(read, plain) == ANSWER
    chat = ChatModel.load(str(tmp_path / "model"))
    assert chat.answer_batch([ASKED], max_new_tokens=24) == ["A parrot."]
    assert fields_of(tmp_path / "model", "generation_config.json")["eos_token_id"] == [0, 2]
    assert fields_of(tmp_path / "model", "config.json")["eos_token_id"] == [0, 2]
    assert (plain.eos_token, plain.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert llm.generation_config.eos_token_id == 0  # of the run, nothing has changed
    assert tokenizer.eos_token == "<|endoftext|>"


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT asks
def test_an_adapter_stops_by_the_generation_config_beside_it(base, tokenizer, tmp_path):
    llm = attach_adapter(load_model(str(base), dtype="fp32"), LoraConfig(r=2))
    weights = {
        name.replace(".default", ""): weight.detach()
        for name, weight in llm.named_parameters()
        if "lora_" in name
    }
    adapter = tmp_path / "adapter"
    write_adapter(adapter, llm, weights, tokenizer, NOTES | {"base_model": str(base)})
    read = AutoPeftModelForCausalLM.from_pretrained(adapter)
    plain = AutoTokenizer.from_pretrained(adapter)
    endings = GenerationConfig.from_pretrained(adapter)
    assert endings.eos_token_id == [0, 2]
    assert answered(read, plain, generation_config=endings) == ANSWER
    assert plain.eos_token == "<|im_end|>"
    assert load_tokenizer(str(adapter)).eos_token == "<|endoftext|>"

    out = tmp_path / "merged"
    notes = fields_of(adapter, "xtune.json")
    export_model(str(base), out, adapter=adapter, notes=notes, dtype="fp32")
    plain = AutoTokenizer.from_pretrained(out)
    merged = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    assert answered(merged, plain) == ANSWER
    assert plain.eos_token == "<|im_end|>"
    assert fields_of(out, "xtune.json")["eos_token"] == "<|endoftext|>"


def test_what_is_saved_tokenizes_and_renders_as_before_within_xtune(base, tokenizer, tmp_path):
    llm = load_model(str(base), dtype="fp32")
    write_model(tmp_path / "once", llm, tokenizer, NOTES)
    again = load_tokenizer(str(tmp_path / "once"))
    assert fingerprint_tokenizer(again) == fingerprint_tokenizer(tokenizer)
    assert again.chat_template == tokenizer.chat_template
    plain_text = build_template("auto", again).spans({"text": "A fjord."})
    assert [span.text for span in plain_text] == ["<|im_start|>A fjord.<|endoftext|>"]
    assert build_template("default", again).stop_words == ("<|endoftext|>",)
    # and the folder that is written from it is the same
    write_model(tmp_path / "twice", load_model(str(tmp_path / "once"), dtype="fp32"), again, NOTES)
    for name in ("tokenizer_config.json", "generation_config.json", "config.json", "xtune.json"):
        assert fields_of(tmp_path / "twice", name) == fields_of(tmp_path / "once", name)


@pytest.mark.parametrize(
    ("template", "words", "written"),
    [
        ("{{ messages[0].content }}<|eot_id|>", ["<|eot_id|>"], "<|eot_id|>"),
        ("{{ messages[0].content }}<|eot_id|>{{ eos_token }}", ["<|eot_id|>"], None),
        ("{{ messages[0].content }}", ["<eoa>", "<eoh>"], None),  # one token alone is the end
        ("{{ messages[0].content }}", ["user"], None),  # would become a special token
        ("{{ messages[0].content }}", ["</s>"], None),
    ],
)
def test_the_end_token_that_others_see(template, words, written):
    assert eos_to_write(tiny_tokenizer(chat_template=template), words) == written


ENDS_CALLS = (
    "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>"
    "{% if m.tool_calls %}{% for c in m.tool_calls %}{{ c.function.name }}CALL{% endfor %}END"
    "{% else %}{{ m.content }}<|eot_id|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>{% endif %}"
    "{# tools #}"
)


@pytest.mark.parametrize(
    ("after_each", "after_all", "expected"),
    [
        ("", "<|eom_id|>", ["<|eot_id|>", "<|eom_id|>"]),
        ("", "<|eot_id|>", ["<|eot_id|>"]),
        ("<eoc>", "", ["<|eot_id|>"]),  # stands between two calls, so it ends none
    ],
)
def test_the_token_that_ends_a_call_is_a_stop_word_too(after_each, after_all, expected):
    jinja = ENDS_CALLS.replace("CALL", after_each).replace("END", after_all)
    tokenizer = tiny_tokenizer(chat_template=jinja)
    assert stop_words_of(build_template("auto", tokenizer), tokenizer) == expected


def test_the_named_templates_of_a_tokenizer_are_kept(base, tokenizer, tmp_path):
    named = {"default": "old{{ messages }}", "tool_use": "with tools", "rag": "with documents"}
    tokenizer.chat_template = named
    plain = build_template("alpaca", tokenizer)
    tokenizer.chat_template = trained_templates(plain, tokenizer)
    assert tokenizer.chat_template == named | {"default": plain.jinja}
    write_model(tmp_path / "model", load_model(str(base)), tokenizer, {})
    assert load_tokenizer(str(tmp_path / "model")).chat_template == tokenizer.chat_template

    with_tools = build_template("qwen_chat", tokenizer)  # rows with tools were rendered by it
    assert trained_templates(with_tools, tokenizer) == {
        "default": with_tools.jinja,
        "tool_use": with_tools.jinja,
        "rag": "with documents",
    }
