"""The chat template in Go's language: what is written, and what is refused."""

from __future__ import annotations

import pytest

from xtune.data.templates import build_template
from xtune.errors import TemplateError
from xtune.export.gguf.go_template import go_template, modelfile, run_go
from xtune.export.system_text import write_system_into
from xtune.export.tiny import tiny_tokenizer


@pytest.fixture
def tokenizer():
    return tiny_tokenizer()


def test_chatml_in_go(tokenizer):
    assert go_template(tokenizer) == (
        '{{ $prev := "" }}{{ range .Messages }}'
        '{{ if eq .Role "system" }}'
        '{{ if eq $prev "" }}{{ "<|im_start|>system\\n" }}{{ end }}'
        "{{ .Content }}{{ end }}"
        '{{ if eq .Role "user" }}'
        '{{ if eq $prev "" }}{{ "<|im_start|>user\\n" }}{{ end }}'
        '{{ if eq $prev "assistant" }}{{ "<|im_end|>\\n<|im_start|>user\\n" }}{{ end }}'
        '{{ if eq $prev "system" }}{{ "<|im_end|>\\n<|im_start|>user\\n" }}{{ end }}'
        "{{ .Content }}{{ end }}"
        '{{ if eq .Role "assistant" }}'
        '{{ if eq $prev "user" }}{{ "<|im_end|>\\n<|im_start|>assistant\\n" }}{{ end }}'
        "{{ .Content }}{{ end }}"
        "{{ $prev = .Role }}{{ end }}"
        '{{ if eq $prev "user" }}{{ "<|im_end|>\\n<|im_start|>assistant\\n" }}{{ end }}'
    )


def test_a_system_text_of_the_run_is_the_modelfiles(tokenizer):
    write_system_into(tokenizer, "Be kind.")
    made = modelfile(tokenizer, "./a.gguf", stops=["<|im_end|>"], context=2048)
    assert made.startswith("FROM ./a.gguf\nTEMPLATE ")
    assert made.endswith(
        'SYSTEM """Be kind."""\nPARAMETER stop "<|im_end|>"\nPARAMETER num_ctx 2048\n'
        "PARAMETER temperature 0.1\nPARAMETER top_p 0.75\nPARAMETER top_k 40\n"
        "PARAMETER repeat_penalty 1.0\n"
    )
    asked = [{"role": "user", "content": "Hi"}]
    assert run_go(go_template(tokenizer), asked) == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    "name", ["llama2_chat", "llama3_chat", "internlm2_chat", "gemma", "phi3_chat"]
)
def test_registered_templates_can_be_written(name, tokenizer):
    tokenizer.chat_template = build_template(name, tokenizer).jinja
    assert "range .Messages" in go_template(tokenizer)


def test_what_roles_alone_do_not_decide_is_refused(tokenizer):
    tokenizer.chat_template = (
        "{% for m in messages %}{{ loop.index }}: {{ m['content'] }}\n{% endfor %}"
    )
    with pytest.raises(TemplateError, match="cannot be written in Go's language: for system user"):
        go_template(tokenizer)
    tokenizer.chat_template = "{{ messages[-1]['content'] }}"
    with pytest.raises(TemplateError, match="does not write the user's messages in their order"):
        go_template(tokenizer)
