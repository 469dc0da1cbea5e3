"""MiniCPM's chat format: two Chinese words in angle brackets.

    <s><用户>2 + 2?<AI>Four.</s>

A system text stands bare where it is said; what stands around a text is stripped, as MiniCPM's own
template does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template, eos_of
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["minicpm"]

_JINJA = """\
{{- bos_token -}}
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{{- message.content | trim -}}
{%- elif message.role == 'user' -%}
{{- '<用户>' + message.content | trim -}}
{%- elif message.role == 'assistant' -%}
{{- '<AI>' + message.content | trim + eos_token -}}
{%- else -%}
{{- raise_exception('minicpm has no place for the role ' + message.role) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<AI>' -}}
{%- endif -%}
"""


@TEMPLATES.register_module()
def minicpm(tokenizer: PreTrainedTokenizerBase) -> Template:
    """MiniCPM 1B and 2B; an answer ends with the tokenizer's EOS."""
    return Template("minicpm", _JINJA, tokenizer, stop=eos_of(tokenizer, "minicpm"))
