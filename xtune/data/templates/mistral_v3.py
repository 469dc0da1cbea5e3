"""Mistral's third chat format (7B v0.3, Mixtral 8x22B, Mistral Large 2407), with tools.

    <s>[AVAILABLE_TOOLS] [{"type": "function", ...}][/AVAILABLE_TOOLS][INST] 2 + 2?[/INST]
    [TOOL_CALLS] [{"name": "add", "arguments": {"a": 2, "b": 2}, "id": "000000001"}]</s>
    [TOOL_RESULTS] {"content": 4, "call_id": "000000001"}[/TOOL_RESULTS] Four.</s>

All on one line. Tools and the system text stand with the last question, wherever it is, so that an
answer in the middle of a dialogue sees them where it will see them in a chat: such a dialogue
becomes one sample for each answer. A call's id has nine characters; one that has another length, or
none, is replaced by the call's number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template, eos_of
from xtune.data.templates.system_in_user import SYSTEM_IN_USER
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["mistral_v3"]

_JINJA = (
    SYSTEM_IN_USER
    + """\
{{- bos_token -}}
{%- set count = namespace(calls=0, results=0, question=-1, system='') -%}
{%- for message in turns.all -%}
{%- if message.role == 'user' -%}
{%- set count.question = loop.index0 -%}
{%- set between = '\\n\\n' if count.system and message.system else '' -%}
{%- set count.system = count.system + between + message.system -%}
{%- endif -%}
{%- endfor -%}
{%- for message in turns.all -%}
{%- if message.role == 'user' -%}
{%- set last = loop.index0 == count.question -%}
{%- if last and tools -%}
{{- '[AVAILABLE_TOOLS] ' + tools | tojson + '[/AVAILABLE_TOOLS]' -}}
{%- endif -%}
{{- '[INST] ' + (count.system + '\\n\\n' if last and count.system else '') -}}
{{- message.content + '[/INST]' -}}
{%- elif message.role == 'tool' -%}
{%- set count.results = count.results + 1 -%}
{%- set id = message.tool_call_id or '' -%}
{%- set id = id if id | length == 9 else '%09d' | format(count.results) -%}
{{- '[TOOL_RESULTS] {"content": ' + message.content + ', "call_id": "' + id -}}
{{- '"}[/TOOL_RESULTS]' -}}
{%- elif message.tool_calls -%}
{{- ' ' + message.content | trim if message.content | trim -}}
{{- '[TOOL_CALLS] [' -}}
{%- for call in message.tool_calls -%}
{%- set count.calls = count.calls + 1 -%}
{%- set id = call.id or '' -%}
{%- set id = id if id | length == 9 else '%09d' | format(count.calls) -%}
{%- set call = call.function or call -%}
{%- set arguments = call.arguments if call.arguments is string else call.arguments | tojson -%}
{{- '{"name": ' + call.name | tojson + ', "arguments": ' + arguments -}}
{{- ', "id": "' + id + '"}' + ('' if loop.last else ', ') -}}
{%- endfor -%}
{{- ']' + eos_token -}}
{%- else -%}
{{- ' ' + message.content | trim + eos_token -}}
{%- endif -%}
{%- endfor -%}
"""
)


@TEMPLATES.register_module()
def mistral_v3(tokenizer: PreTrainedTokenizerBase) -> Template:
    """Mistral 7B v0.3 and its kin; an answer ends with the tokenizer's EOS."""
    return Template("mistral_v3", _JINJA, tokenizer, stop=eos_of(tokenizer, "mistral_v3"))
