"""The chat format of Baichuan-13B-Chat: reserved tokens for the two speakers.

    Be brief.<reserved_102>2 + 2?<reserved_103>Four.</s>

There is no BOS; a system text stands bare where it is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template, eos_of
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["baichuan_chat"]

_JINJA = """\
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{{- message.content -}}
{%- elif message.role == 'user' -%}
{{- '<reserved_102>' + message.content -}}
{%- elif message.role == 'assistant' -%}
{{- '<reserved_103>' + message.content + eos_token -}}
{%- else -%}
{{- raise_exception('baichuan_chat has no place for the role ' + message.role) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<reserved_103>' -}}
{%- endif -%}
"""


@TEMPLATES.register_module()
def baichuan_chat(tokenizer: PreTrainedTokenizerBase) -> Template:
    """Baichuan-13B-Chat; an answer ends with the tokenizer's EOS."""
    return Template("baichuan_chat", _JINJA, tokenizer, stop=eos_of(tokenizer, "baichuan_chat"))
