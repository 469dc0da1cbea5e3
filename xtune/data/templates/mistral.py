"""Mistral's first chat format (7B v0.1 and v0.2, Mixtral 8x7B): instructions in brackets.

    <s> [INST] Be brief.

    2 + 2? [/INST] Four.</s> [INST] And 3? [/INST] Seven.</s>

A system text opens the user message after it. From v0.3 on the format is mistral_v3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template, eos_of
from xtune.data.templates.system_in_user import SYSTEM_IN_USER
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["mistral"]

_JINJA = (
    SYSTEM_IN_USER
    + """\
{{- bos_token -}}
{%- for message in turns.all -%}
{%- if message.role == 'user' -%}
{{- ' [INST] ' + (message.system + '\\n\\n' if message.system else '') -}}
{{- message.content + ' [/INST]' -}}
{%- elif message.role == 'assistant' -%}
{{- ' ' + message.content + eos_token -}}
{%- else -%}
{{- raise_exception('mistral has no place for the role ' + message.role) -}}
{%- endif -%}
{%- endfor -%}
"""
)


@TEMPLATES.register_module(name=["mistral", "mixtral"])
def mistral(tokenizer: PreTrainedTokenizerBase) -> Template:
    """Mistral 7B before v0.3 and Mixtral; an answer ends with the tokenizer's EOS."""
    return Template("mistral", _JINJA, tokenizer, stop=eos_of(tokenizer, "mistral"))
