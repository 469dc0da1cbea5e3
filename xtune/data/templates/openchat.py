"""OpenChat 3.5's format: names in words, one end token for every turn.

    <s>GPT4 Correct User: 2 + 2?<|end_of_turn|>GPT4 Correct Assistant: Four.<|end_of_turn|>

A system text stands bare where it is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["openchat"]

_JINJA = """\
{{- bos_token -}}
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{{- message.content + '<|end_of_turn|>' if message.content -}}
{%- elif message.role in ('user', 'assistant') -%}
{{- 'GPT4 Correct ' + message.role | title + ': ' + message.content + '<|end_of_turn|>' -}}
{%- else -%}
{{- raise_exception('openchat has no place for the role ' + message.role) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- 'GPT4 Correct Assistant:' -}}
{%- endif -%}
"""


@TEMPLATES.register_module()
def openchat(tokenizer: PreTrainedTokenizerBase) -> Template:
    """OpenChat 3.5; an answer ends with <|end_of_turn|>."""
    return Template("openchat", _JINJA, tokenizer, stop="<|end_of_turn|>")
