"""Gemma's chat format, all three generations of it: turns of 'user' and 'model'.

    <bos><start_of_turn>user
    Be brief.

    2 + 2?<end_of_turn>
    <start_of_turn>model
    Four.<end_of_turn>

There is no role for system texts: one opens the user message after it, as Gemma 3's own template
has it. What stands around a text is stripped, as all three do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template
from xtune.data.templates.system_in_user import SYSTEM_IN_USER
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["gemma"]

_JINJA = (
    SYSTEM_IN_USER
    + """\
{{- bos_token -}}
{%- for message in turns.all -%}
{%- if message.role == 'user' -%}
{{- '<start_of_turn>user\\n' + (message.system + '\\n\\n' if message.system else '') -}}
{{- message.content | trim + '<end_of_turn>\\n' -}}
{%- elif message.role == 'assistant' -%}
{{- '<start_of_turn>model\\n' + message.content | trim + '<end_of_turn>\\n' -}}
{%- else -%}
{{- raise_exception('gemma has no place for the role ' + message.role) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<start_of_turn>model\\n' -}}
{%- endif -%}
"""
)


@TEMPLATES.register_module(name=["gemma", "gemma2", "gemma3"])
def gemma(tokenizer: PreTrainedTokenizerBase) -> Template:
    """Gemma 1, 2 and 3, texts only."""
    return Template("gemma", _JINJA, tokenizer, stop="<end_of_turn>")
