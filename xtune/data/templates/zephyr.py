"""Zephyr's chat format: role names in plain words, and the tokenizer's own EOS.

    <|system|>
    Be brief.</s>
    <|user|>
    2 + 2?</s>
    <|assistant|>
    Four.</s>

There is no BOS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template, eos_of
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["zephyr"]

_JINJA = """\
{%- for message in messages -%}
{%- if message.role not in ('system', 'user', 'assistant') -%}
{{- raise_exception('zephyr has no place for the role ' + message.role) -}}
{%- endif -%}
{{- '<|' + message.role + '|>\\n' + message.content + eos_token + '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|assistant|>\\n' -}}
{%- endif -%}
"""


@TEMPLATES.register_module()
def zephyr(tokenizer: PreTrainedTokenizerBase) -> Template:
    """Zephyr 7B; an answer ends with the tokenizer's EOS."""
    return Template("zephyr", _JINJA, tokenizer, stop=eos_of(tokenizer, "zephyr"))
