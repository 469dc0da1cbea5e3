"""Llama 2's chat format: each exchange is a document of its own, with BOS and EOS.

    <s>[INST] <<SYS>>
    Be brief.
    <</SYS>>

    2 + 2? [/INST] Four. </s><s>[INST] And 3? [/INST] Five. </s>

A system message opens the user message after it, wherever it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template, eos_of
from xtune.data.templates.system_in_user import SYSTEM_IN_USER
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["llama2_chat"]

_JINJA = (
    SYSTEM_IN_USER
    + """\
{%- for message in turns.all -%}
{%- if message.role == 'user' -%}
{{- bos_token + '[INST] ' -}}
{{- '<<SYS>>\\n' + message.system + '\\n<</SYS>>\\n\\n' if message.system -}}
{{- message.content + ' [/INST]' -}}
{%- elif message.role == 'assistant' -%}
{{- ' ' + message.content + ' ' + eos_token -}}
{%- else -%}
{{- raise_exception('llama2_chat has no place for the role ' + message.role) -}}
{%- endif -%}
{%- endfor -%}
"""
)


@TEMPLATES.register_module(name=["llama2_chat", "code_llama_chat"])
def llama2_chat(tokenizer: PreTrainedTokenizerBase) -> Template:
    """Llama 2 and Code Llama; an answer ends with the tokenizer's EOS."""
    return Template("llama2_chat", _JINJA, tokenizer, stop=eos_of(tokenizer, "llama2_chat"))
