"""The chat format of Baichuan2-7B-Chat and -13B-Chat: reserved tokens for the two speakers.

    Be brief.<reserved_106>2 + 2?<reserved_107>Four.</s>

There is no BOS; a system text stands bare where it is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template, eos_of
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["baichuan2_chat"]

_JINJA = """\
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{{- message.content -}}
{%- elif message.role == 'user' -%}
{{- '<reserved_106>' + message.content -}}
{%- elif message.role == 'assistant' -%}
{{- '<reserved_107>' + message.content + eos_token -}}
{%- else -%}
{{- raise_exception('baichuan2_chat has no place for the role ' + message.role) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<reserved_107>' -}}
{%- endif -%}
"""


@TEMPLATES.register_module()
def baichuan2_chat(tokenizer: PreTrainedTokenizerBase) -> Template:
    """Baichuan2-7B-Chat and -13B-Chat; an answer ends with the tokenizer's EOS."""
    return Template("baichuan2_chat", _JINJA, tokenizer, stop=eos_of(tokenizer, "baichuan2_chat"))
