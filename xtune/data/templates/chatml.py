"""ChatML, with tools: what Qwen, SmolLM and many others were trained on.

    <|im_start|>system
    Be brief.<|im_end|>
    <|im_start|>user
    2 + 2?<|im_end|>
    <|im_start|>assistant
    Four.<|im_end|>

There is no BOS and no system text of its own. Tools stand in the system message as JSON; a call
is JSON in <tool_call> tags, the form that servers parse as 'hermes'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["chatml"]

_JINJA = """\
{%- macro tool_list() -%}
You can call these tools:
<tools>
{% for tool in tools %}
{{ tool | tojson }}
{% endfor %}
</tools>
Write each call on lines of its own, as:
<tool_call>
{"name": "...", "arguments": {...}}
</tool_call>
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
{{- '<tool_call>\\n{"name": ' + call.name | tojson + ', "arguments": ' + arguments + '}\\n' -}}
{{- '</tool_call>' -}}
{%- endfor -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""


@TEMPLATES.register_module()
def chatml(tokenizer: PreTrainedTokenizerBase) -> Template:
    """ChatML without a BOS."""
    return Template("chatml", _JINJA, tokenizer, stop="<|im_end|>")
