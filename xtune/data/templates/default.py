"""XTuner's default format, for base models: plain words, and the tokenizer's own EOS.

    <s><|System|>:Be brief.
    <|User|>:2 + 2?
    <|Bot|>:Four.</s>

None of it but BOS and EOS need be a token of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template, eos_of
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["default"]

_JINJA = """\
{{- bos_token -}}
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{{- '<|System|>:' + message.content + '\\n' -}}
{%- elif message.role == 'user' -%}
{{- '<|User|>:' + message.content + '\\n' -}}
{%- elif message.role == 'assistant' -%}
{{- '<|Bot|>:' + message.content + eos_token + '\\n' -}}
{%- else -%}
{{- raise_exception('the default template has no place for the role ' + message.role) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|Bot|>:' -}}
{%- endif -%}
"""


@TEMPLATES.register_module()
def default(tokenizer: PreTrainedTokenizerBase) -> Template:
    """Base models: plain words, for any tokenizer with an EOS."""
    return Template("default", _JINJA, tokenizer, stop=eos_of(tokenizer, "default"))
