"""ChatML as Qwen writes it, with the tool form of Qwen2.5; Qwen3's, which thinks, is qwen3.

    <|im_start|>system
    Be brief.

    # Tools
    ...<|im_end|>
    <|im_start|>user
    2 + 2?<|im_end|>
    <|im_start|>assistant
    <tool_call>
    {"name": "add", "arguments": {"a": 2, "b": 2}}
    </tool_call><|im_end|>
    <|im_start|>user
    <tool_response>
    4
    </tool_response><|im_end|>
    <|im_start|>assistant
    Four.<|im_end|>

There is no BOS, and no system text but the dialogue's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["QWEN_TOOLS", "qwen_chat"]

# The words that Qwen2.5 and Qwen3 were trained to find their tools in, and a dialogue's beginning
QWEN_TOOLS = """\
{%- macro tool_list() -%}
{{- '# Tools\\n\\nYou may call one or more functions to assist with the user query.\\n\\n' -}}
{{- 'You are provided with function signatures within <tools></tools> XML tags:\\n<tools>' -}}
{%- for tool in tools -%}
{{- '\\n' + tool | tojson -}}
{%- endfor -%}
{{- '\\n</tools>\\n\\nFor each function call, return a json object with function name and ' -}}
{{- 'arguments within <tool_call></tool_call> XML tags:\\n<tool_call>\\n' -}}
{{- '{"name": <function-name>, "arguments": <args-json-object>}\\n</tool_call>' -}}
{%- endmacro -%}
{%- macro calls_of(message) -%}
{%- for call in message.tool_calls or [] -%}
{%- set call = call.function or call -%}
{%- set arguments = call.arguments if call.arguments is string else call.arguments | tojson -%}
{{- '' if loop.first and not message.content else '\\n' -}}
{{- '<tool_call>\\n{"name": "' + call.name + '", "arguments": ' + arguments -}}
{{- '}\\n</tool_call>' -}}
{%- endfor -%}
{%- endmacro -%}
{%- macro result_of(message, first, last) -%}
{{- '<|im_start|>user' if first -}}
{{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' -}}
{{- '<|im_end|>\\n' if last -}}
{%- endmacro -%}
{%- if tools and messages and messages[0].role != 'system' -%}
{{- '<|im_start|>system\\n' + tool_list() + '<|im_end|>\\n' -}}
{%- endif -%}
"""

_JINJA = (
    QWEN_TOOLS
    + """\
{%- for message in messages -%}
{%- if message.role == 'tool' -%}
{%- set first = loop.first or loop.previtem.role != 'tool' -%}
{%- set last = loop.last or loop.nextitem.role != 'tool' -%}
{{- result_of(message, first, last) -}}
{%- else -%}
{{- '<|im_start|>' + message.role + '\\n' + (message.content or '') -}}
{%- if tools and loop.first and message.role == 'system' -%}
{{- ('\\n\\n' if message.content else '') + tool_list() -}}
{%- endif -%}
{{- calls_of(message) + '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""
)


@TEMPLATES.register_module()
def qwen_chat(tokenizer: PreTrainedTokenizerBase) -> Template:
    """Qwen 1 to 2.5."""
    return Template("qwen_chat", _JINJA, tokenizer, stop="<|im_end|>")
