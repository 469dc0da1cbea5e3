"""ChatML with a line for each tool: for small models, and for little time.

    <|im_start|>system
    Tools:
    add(a: number, b: number)
    search(query: string, count?: integer)<|im_end|>
    <|im_start|>user
    2 + 2, and 3 + 3?<|im_end|>
    <|im_start|>assistant
    <tool_call>{"name": "add", "arguments": {"a": 2, "b": 2}}
    <tool_call>{"name": "add", "arguments": {"a": 3, "b": 3}}<|im_end|>
    <|im_start|>tool
    4<|im_end|>
    ...

Five tools as JSON schemas take 600 tokens of every prompt, as signatures 80. A model must be
trained to read them: what an argument means is not said. There is no BOS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["chatml_tools"]

_JINJA = """\
{%- macro tool_list() -%}
{{- 'Tools:' -}}
{%- for tool in tools -%}
{%- set tool = tool.function or tool -%}
{%- set schema = tool.parameters or {} -%}
{{- '\\n' + tool.name + '(' -}}
{%- for name, value in (schema.properties or {}).items() -%}
{{- ', ' if not loop.first -}}
{{- name + ('' if name in (schema.required or []) else '?') -}}
{{- ': ' + value.type if value.type is string -}}
{%- endfor -%}
{{- ')' -}}
{%- endfor -%}
{%- endmacro -%}
{%- if tools and messages and messages[0].role != 'system' -%}
{{- '<|im_start|>system\\n' + tool_list() + '<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' + (message.content or '') -}}
{%- if tools and loop.first and message.role == 'system' -%}
{{- ('\\n\\n' if message.content else '') + tool_list() -}}
{%- endif -%}
{%- for call in message.tool_calls or [] -%}
{%- set call = call.function or call -%}
{%- set arguments = call.arguments if call.arguments is string else call.arguments | tojson -%}
{{- '' if loop.first and not message.content else '\\n' -}}
{{- '<tool_call>{"name": ' + call.name | tojson + ', "arguments": ' + arguments + '}' -}}
{%- endfor -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""


@TEMPLATES.register_module()
def chatml_tools(tokenizer: PreTrainedTokenizerBase) -> Template:
    """ChatML with the tools as signatures."""
    return Template("chatml_tools", _JINJA, tokenizer, stop="<|im_end|>")
