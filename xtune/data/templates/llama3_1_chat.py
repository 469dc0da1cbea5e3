"""Llama 3.1's chat format, with tools; 3.2 and 3.3 have the same.

    <|begin_of_text|><|start_header_id|>system<|end_header_id|>

    Cutting Knowledge Date: December 2023
    Today Date: 26 Jul 2024

    Be brief.<|eot_id|><|start_header_id|>user<|end_header_id|>

    2 + 2?<|eot_id|><|start_header_id|>assistant<|end_header_id|>

    {"name": "add", "parameters": {"a": 2, "b": 2}}<|eot_id|>

The date is the one that Llama's own template writes if it is told none, so that a prompt does not
change overnight. Tools stand in the first question; an answer has one call at most, after a line of
what it says besides. What stands around a text is stripped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["llama3_1_chat"]

_JINJA = """\
{%- macro tool_list() -%}
{{- 'Given the following functions, please respond with a JSON for a function call ' -}}
{{- 'with its proper arguments that best answers the given prompt.\\n\\n' -}}
{{- 'Respond in the format {"name": function name, "parameters": dictionary of argument name ' -}}
{{- 'and its value}.Do not use variables.\\n\\n' -}}
{%- for tool in tools -%}
{{- tool | tojson(indent=4) + '\\n\\n' -}}
{%- endfor -%}
{%- endmacro -%}
{%- set begun = messages and messages[0].role == 'system' -%}
{{- bos_token + '<|start_header_id|>system<|end_header_id|>\\n\\n' -}}
{{- 'Environment: ipython\\n' if tools -}}
{{- 'Cutting Knowledge Date: December 2023\\nToday Date: 26 Jul 2024\\n\\n' -}}
{{- messages[0].content | trim if begun -}}
{{- '<|eot_id|>' -}}
{%- set seen = namespace(question=false) -%}
{%- set dialogue = messages[1:] if begun else messages -%}
{%- for message in dialogue -%}
{%- set role = 'ipython' if message.role == 'tool' else message.role -%}
{{- '<|start_header_id|>' + role + '<|end_header_id|>\\n\\n' -}}
{%- if message.role == 'user' and not seen.question -%}
{%- set seen.question = true -%}
{{- tool_list() if tools -}}
{%- endif -%}
{%- if message.tool_calls -%}
{%- if message.tool_calls | length > 1 -%}
{{- raise_exception('llama3_1_chat writes one call at a time') -}}
{%- endif -%}
{%- set call = message.tool_calls[0].function or message.tool_calls[0] -%}
{%- set arguments = call.arguments if call.arguments is string else call.arguments | tojson -%}
{{- message.content | trim + '\\n' if message.content | trim -}}
{{- '{"name": ' + call.name | tojson + ', "parameters": ' + arguments + '}' -}}
{%- elif message.role == 'tool' -%}
{{- message.content | tojson -}}
{%- else -%}
{{- message.content | trim -}}
{%- endif -%}
{{- '<|eot_id|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
{%- endif -%}
"""


@TEMPLATES.register_module()
def llama3_1_chat(tokenizer: PreTrainedTokenizerBase) -> Template:
    """Llama 3.1, 3.2 and 3.3, their own tool calls in JSON."""
    return Template("llama3_1_chat", _JINJA, tokenizer, stop="<|eot_id|>")
