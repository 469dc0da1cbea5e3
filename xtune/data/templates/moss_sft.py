"""MOSS's format (moss-moon-003-sft), with its plugins.

    <s>You are MOSS.
    <|Human|>: 3 * 3?<eoh>
    <|Inner Thoughts|>: It wants a product.<eot>
    <|Commands|>: Calculate("3*3")<eoc>
    <|Results|>: Calculate("3*3") => 9<eor>
    <|MOSS|>: Nine.<eom>

The first two sections are one assistant message, in these marks, as the map_fn moss_003_sft makes
it. After a question the model itself says whether it thinks first or answers at once: nothing is
put in its mouth. A base model must be given the end tokens: added_tokens = ['<eoh>', '<eot>',
'<eoc>', '<eor>', '<eom>'], as far as it lacks them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["moss_sft"]

_JINJA = """\
{{- bos_token -}}
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{{- message.content + '\\n' if message.content -}}
{%- elif message.role == 'user' -%}
{{- '<|Human|>: ' + message.content + '<eoh>\\n' -}}
{%- elif message.role == 'tool' -%}
{{- '<|Results|>: ' + message.content + '<eor>\\n' -}}
{%- elif message.content.startswith('<|Inner Thoughts|>') -%}
{{- message.content + '\\n' -}}
{%- else -%}
{{- '<|MOSS|>: ' + message.content + '<eom>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt and messages and messages[-1].role == 'tool' -%}
{{- '<|MOSS|>:' -}}
{%- endif -%}
"""


@TEMPLATES.register_module()
def moss_sft(tokenizer: PreTrainedTokenizerBase) -> Template:
    """MOSS, and models tuned on its data; a call ends with <eoc>."""
    return Template("moss_sft", _JINJA, tokenizer, stop=("<eom>", "<eoc>"))
