"""ChatGLM2's chat format: numbered rounds in Chinese words.

    [gMASK]<sop>[Round 1]

    问：2 + 2?

    答：Four.</s>

    [Round 2]
    ...

A system text stands bare before the round it belongs to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template, eos_of
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["chatglm2"]

_JINJA = """\
{{- '[gMASK]<sop>' -}}
{%- set count = namespace(rounds=0) -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{{- message.content + '\\n\\n' if message.content -}}
{%- elif message.role == 'user' -%}
{%- set count.rounds = count.rounds + 1 -%}
{{- '[Round ' ~ count.rounds ~ ']\\n\\n问：' + message.content + '\\n\\n' -}}
{%- elif message.role == 'assistant' -%}
{{- '答：' + message.content + eos_token + '\\n\\n' -}}
{%- else -%}
{{- raise_exception('chatglm2 has no place for the role ' + message.role) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '答：' -}}
{%- endif -%}
"""


@TEMPLATES.register_module()
def chatglm2(tokenizer: PreTrainedTokenizerBase) -> Template:
    """ChatGLM2; an answer ends with the tokenizer's EOS."""
    return Template("chatglm2", _JINJA, tokenizer, stop=eos_of(tokenizer, "chatglm2"))
