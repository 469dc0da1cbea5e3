"""Phi-4's chat format (14B): ChatML with a token between a role and its text.

    <|im_start|>system<|im_sep|>Be brief.<|im_end|>
    <|im_start|>user<|im_sep|>2 + 2?<|im_end|>
    <|im_start|>assistant<|im_sep|>Four.<|im_end|>

All on one line, without a BOS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["phi4"]

_JINJA = """\
{%- for message in messages -%}
{%- if message.role not in ('system', 'user', 'assistant') -%}
{{- raise_exception('phi4 has no place for the role ' + message.role) -}}
{%- endif -%}
{{- '<|im_start|>' + message.role + '<|im_sep|>' + message.content + '<|im_end|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant<|im_sep|>' -}}
{%- endif -%}
"""


@TEMPLATES.register_module()
def phi4(tokenizer: PreTrainedTokenizerBase) -> Template:
    """Phi-4; Phi-4-mini has a format of its own, phi4_mini."""
    return Template("phi4", _JINJA, tokenizer, stop="<|im_end|>")
