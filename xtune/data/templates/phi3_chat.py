"""Phi-3's chat format.

    <|system|>
    Be brief.<|end|>
    <|user|>
    2 + 2?<|end|>
    <|assistant|>
    Four.<|end|>

There is no BOS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["phi3_chat"]

_JINJA = """\
{%- for message in messages -%}
{%- if message.role not in ('system', 'user', 'assistant') -%}
{{- raise_exception('phi3_chat has no place for the role ' + message.role) -}}
{%- endif -%}
{{- '<|' + message.role + '|>\\n' + message.content + '<|end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|assistant|>\\n' -}}
{%- endif -%}
"""


@TEMPLATES.register_module()
def phi3_chat(tokenizer: PreTrainedTokenizerBase) -> Template:
    """Phi-3 and Phi-3.5."""
    return Template("phi3_chat", _JINJA, tokenizer, stop="<|end|>")
