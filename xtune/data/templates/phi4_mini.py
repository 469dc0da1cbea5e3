"""Phi-4-mini's chat format, with tools.

    <|system|>Be brief.<|tool|>{"name": ...}<|/tool|><|end|>
    <|user|>2 + 2?<|end|>
    <|assistant|><|tool_call|>{"name": ..., "arguments": ...}<|/tool_call|><|end|>
    <|tool_response|>"4"<|end|>
    <|assistant|>Four.<|end|>

All on one line, without a BOS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["phi4_mini"]

_JINJA = """\
{%- macro tool_list() -%}
{%- for tool in tools -%}
{{- '<|tool|>' + tool.function | tojson + '<|/tool|>' -}}
{%- endfor -%}
{{- 'You are a helpful assistant with some tools.\\nTo use a tool, respond in this format: ' -}}
{{- '<|tool_call|>{"name": "foo", "arguments": {"a": 1}}<|/tool_call|>' -}}
{%- endmacro -%}
{%- if tools and messages and messages[0].role != 'system' -%}
{{- '<|system|>' + tool_list() + '<|end|>' -}}
{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'tool' -%}
{{- '<|tool_response|>' + message.content | tojson + '<|end|>' -}}
{%- else -%}
{{- '<|' + message.role + '|>' + (message.content or '') -}}
{%- if tools and loop.first and message.role == 'system' -%}
{{- tool_list() -}}
{%- endif -%}
{%- for call in message.tool_calls or [] -%}
{%- set call = call.function or call -%}
{%- set arguments = call.arguments if call.arguments is string else call.arguments | tojson -%}
{{- '<|tool_call|>{"name": ' + call.name | tojson + ', "arguments": ' + arguments -}}
{{- '}<|/tool_call|>' -}}
{%- endfor -%}
{{- '<|end|>' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|assistant|>' -}}
{%- endif -%}
"""


@TEMPLATES.register_module()
def phi4_mini(tokenizer: PreTrainedTokenizerBase) -> Template:
    """Phi-4-mini-instruct."""
    return Template("phi4_mini", _JINJA, tokenizer, stop="<|end|>")
