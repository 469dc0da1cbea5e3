"""The chat format of DeepSeek-V3 and DeepSeek-R1, with tool calls.

    <｜begin▁of▁sentence｜>Be brief.<｜User｜>2 + 2?<｜Assistant｜>Four.<｜end▁of▁sentence｜>

All on one line. The calls and their results are in DeepSeek's own tokens; how the tools are listed
in the system text is ours, since DeepSeek's template does not list them. deepseek_r1 opens an
answer with <think>: a message's `reasoning_content`, or what its content has in these tags, is
trained, and left out of later prompts, so that a dialogue of several answers becomes one sample for
each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template, eos_of
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["deepseek_r1", "deepseek_v3"]

_JINJA = """\
{%- macro tool_list() -%}
{{- 'You can call these tools:' -}}
{%- for tool in tools -%}
{{- '\\n' + tool | tojson -}}
{%- endfor -%}
{%- endmacro -%}
{{- bos_token -}}
{%- if tools and messages and messages[0].role != 'system' -%}
{{- tool_list() -}}
{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{{- message.content -}}
{%- if tools and loop.first -%}
{{- ('\\n\\n' if message.content else '') + tool_list() -}}
{%- endif -%}
{%- elif message.role == 'user' -%}
{{- '<｜User｜>' + message.content -}}
{%- elif message.role == 'tool' -%}
{{- '<｜tool▁outputs▁begin｜>' if loop.first or loop.previtem.role != 'tool' else '\\n' -}}
{{- '<｜tool▁output▁begin｜>' + message.content + '<｜tool▁output▁end｜>' -}}
{{- '<｜tool▁outputs▁end｜>' if loop.last or loop.nextitem.role != 'tool' -}}
{%- else -%}
{%- set content = message.content or '' -%}
{%- if thinks -%}
{%- set content = content.split('</think>')[-1].lstrip('\\n') -%}
{%- endif -%}
{{- '<｜Assistant｜>' if loop.first or loop.previtem.role != 'tool' -}}
{{- content -}}
{%- for call in message.tool_calls or [] -%}
{%- set call = call.function or call -%}
{%- set arguments = call.arguments if call.arguments is string else call.arguments | tojson -%}
{{- '<｜tool▁calls▁begin｜>' if loop.first else '\\n' -}}
{{- '<｜tool▁call▁begin｜>function<｜tool▁sep｜>' + call.name + '\\n```json\\n' + arguments -}}
{{- '\\n```<｜tool▁call▁end｜>' + ('<｜tool▁calls▁end｜>' if loop.last else '') -}}
{%- endfor -%}
{{- eos_token -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt and messages and messages[-1].role != 'tool' -%}
{{- '<｜Assistant｜>' + ('<think>\\n' if thinks else '') -}}
{%- endif -%}
"""


@TEMPLATES.register_module()
def deepseek_v3(tokenizer: PreTrainedTokenizerBase) -> Template:
    """DeepSeek-V3; an answer ends with the tokenizer's EOS."""
    jinja = "{%- set thinks = false -%}\n" + _JINJA
    return Template("deepseek_v3", jinja, tokenizer, stop=eos_of(tokenizer, "deepseek_v3"))


@TEMPLATES.register_module()
def deepseek_r1(tokenizer: PreTrainedTokenizerBase) -> Template:
    """DeepSeek-R1 and its distilled models; an answer ends with the tokenizer's EOS."""
    jinja = "{%- set thinks = true -%}\n" + _JINJA
    return Template("deepseek_r1", jinja, tokenizer, stop=eos_of(tokenizer, "deepseek_r1"))
