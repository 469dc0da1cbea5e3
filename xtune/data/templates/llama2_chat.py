"""Llama 2's chat format: each exchange is a document of its own, with BOS and EOS.

    <s>[INST] <<SYS>>
    Be brief.
    <</SYS>>

    2 + 2? [/INST] Four. </s><s>[INST] And 3? [/INST] Five. </s>

A system message opens the user message after it, wherever it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template
from xtune.errors import TemplateError
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["llama2_chat"]

_JINJA = """\
{%- set pending = namespace(system='') -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{%- set pending.system = '<<SYS>>\\n' + message.content + '\\n<</SYS>>\\n\\n' -%}
{%- elif message.role == 'user' -%}
{{- bos_token -}}
{{- '[INST] ' + pending.system + message.content + ' [/INST]' -}}
{%- set pending.system = '' -%}
{%- elif message.role == 'assistant' -%}
{{- ' ' + message.content + ' ' + eos_token -}}
{%- else -%}
{{- raise_exception('llama2_chat has no place for the role ' + message.role) -}}
{%- endif -%}
{%- endfor -%}
"""


@TEMPLATES.register_module()
def llama2_chat(tokenizer: PreTrainedTokenizerBase) -> Template:
    """Llama 2; an answer ends with the tokenizer's EOS."""
    if tokenizer.eos_token is None:
        raise TemplateError("template 'llama2_chat' ends answers with EOS; the tokenizer has none")
    return Template("llama2_chat", _JINJA, tokenizer, stop=str(tokenizer.eos_token))
