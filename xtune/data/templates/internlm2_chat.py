"""InternLM2's chat format, and InternLM3's: ChatML after one BOS, with tools as plugins.

    <s><|im_start|>system
    Be brief.<|im_end|>
    <|im_start|>system name=<|plugin|>
    [{"name": "add", ...}]<|im_end|>
    <|im_start|>user
    2 + 2?<|im_end|>
    <|im_start|>assistant
    <|action_start|><|plugin|>
    {"name": "add", "parameters": {"a": 2, "b": 2}}<|action_end|><|im_end|>
    <|im_start|>environment name=<|plugin|>
    4<|im_end|>
    <|im_start|>assistant
    Four.<|im_end|>

The role names are ordinary text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["internlm2_chat"]

_JINJA = """\
{%- macro plugins() -%}
{{- '<|im_start|>system name=<|plugin|>\\n[' -}}
{%- for tool in tools -%}
{{- (tool.function or tool) | tojson + ('' if loop.last else ', ') -}}
{%- endfor -%}
{{- ']<|im_end|>\\n' -}}
{%- endmacro -%}
{{- bos_token -}}
{%- if tools and messages and messages[0].role != 'system' -%}
{{- plugins() -}}
{%- endif -%}
{%- for message in messages -%}
{%- set role = 'environment name=<|plugin|>' if message.role == 'tool' else message.role -%}
{{- '<|im_start|>' + role + '\\n' + (message.content or '') -}}
{%- for call in message.tool_calls or [] -%}
{%- set call = call.function or call -%}
{%- set arguments = call.arguments if call.arguments is string else call.arguments | tojson -%}
{{- '<|action_start|><|plugin|>\\n{"name": ' + call.name | tojson -}}
{{- ', "parameters": ' + arguments + '}<|action_end|>' -}}
{%- endfor -%}
{{- '<|im_end|>\\n' -}}
{%- if tools and loop.first and message.role == 'system' -%}
{{- plugins() -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""


@TEMPLATES.register_module(name=["internlm2_chat", "internlm3"])
def internlm2_chat(tokenizer: PreTrainedTokenizerBase) -> Template:
    """InternLM2, 2.5 and 3."""
    return Template("internlm2_chat", _JINJA, tokenizer, stop="<|im_end|>")
