"""Qwen3's chat format: Qwen's ChatML, and reasoning in <think> tags before an answer.

    <|im_start|>user
    2 + 2?<|im_end|>
    <|im_start|>assistant
    <think>
    2 and 2.
    </think>

    Four.<|im_end|>

Reasoning is a message's `reasoning_content`, or stands in its content in these tags. As in Qwen's
own template, what came before the last question is shown without it, so that a dialogue of several
answers becomes one sample for each; an answer without reasoning gets an empty pair of tags, which
tells the model not to think. With qwen3_no_thinking the prompt writes that pair itself, as Qwen's
own does when thinking is switched off; reasoning in the data is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template
from xtune.data.templates.qwen_chat import QWEN_TOOLS
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["qwen3", "qwen3_no_thinking"]

_JINJA = (
    QWEN_TOOLS
    + """\
{%- set asked = namespace(last=-1) -%}
{%- for message in messages -%}
{%- if message.role == 'user' -%}
{%- set asked.last = loop.index0 -%}
{%- endif -%}
{%- endfor -%}
{%- for message in messages -%}
{%- if message.role == 'tool' -%}
{%- set first = loop.first or loop.previtem.role != 'tool' -%}
{%- set last = loop.last or loop.nextitem.role != 'tool' -%}
{{- result_of(message, first, last) -}}
{%- else -%}
{%- set content = message.content or '' -%}
{{- '<|im_start|>' + message.role + '\\n' -}}
{%- if message.role == 'assistant' -%}
{%- set reasoning = message.reasoning_content or '' -%}
{%- if '</think>' in content -%}
{%- set reasoning = content.split('</think>')[0].split('<think>')[-1] -%}
{%- set content = content.split('</think>')[-1].lstrip('\\n') -%}
{%- endif -%}
{%- if enable_thinking is defined and not enable_thinking -%}
{%- set reasoning = '' -%}
{%- endif -%}
{%- set reasoning = reasoning.strip('\\n') -%}
{%- if loop.index0 > asked.last and (loop.last or reasoning) -%}
{{- '<think>\\n' + reasoning + '\\n</think>\\n\\n' -}}
{%- set content = content.lstrip('\\n') -%}
{%- endif -%}
{%- endif -%}
{{- content -}}
{%- if tools and loop.first and message.role == 'system' -%}
{{- ('\\n\\n' if content else '') + tool_list() -}}
{%- endif -%}
{{- calls_of({'content': content, 'tool_calls': message.tool_calls}) + '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{{- '<think>\\n\\n</think>\\n\\n' if enable_thinking is defined and not enable_thinking -}}
{%- endif -%}
"""
)
_NOT_THINKING = "{%- set enable_thinking = false -%}\n"


@TEMPLATES.register_module()
def qwen3(tokenizer: PreTrainedTokenizerBase) -> Template:
    """Qwen3 with reasoning."""
    return Template("qwen3", _JINJA, tokenizer, stop="<|im_end|>")


@TEMPLATES.register_module()
def qwen3_no_thinking(tokenizer: PreTrainedTokenizerBase) -> Template:
    """Qwen3, told in the prompt not to think."""
    return Template("qwen3_no_thinking", _NOT_THINKING + _JINJA, tokenizer, stop="<|im_end|>")
