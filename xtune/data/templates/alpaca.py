"""Stanford Alpaca's format, for base models: headings in plain words, and the tokenizer's own EOS.

    <s>Below is an instruction that describes a task. Write a response that appropriately
    completes the request.

    ### Instruction:
    2 + 2?

    ### Response:
    Four.</s>

A system message stands in place of the sentence at the beginning. WizardCoder was trained on the
same text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template, eos_of
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["alpaca"]

_JINJA = """\
{{- bos_token -}}
{%- if messages and messages[0].role != 'system' -%}
{{- 'Below is an instruction that describes a task. ' -}}
{{- 'Write a response that appropriately completes the request.\\n\\n' -}}
{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{{- message.content + '\\n\\n' if message.content -}}
{%- elif message.role == 'user' -%}
{{- '### Instruction:\\n' + message.content + '\\n\\n' -}}
{%- elif message.role == 'assistant' -%}
{{- '### Response:\\n' + message.content + eos_token + '\\n\\n' -}}
{%- else -%}
{{- raise_exception('alpaca has no place for the role ' + message.role) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '### Response:\\n' -}}
{%- endif -%}
"""


@TEMPLATES.register_module(name=["alpaca", "wizardcoder"])
def alpaca(tokenizer: PreTrainedTokenizerBase) -> Template:
    """Alpaca and WizardCoder, and base models; an answer ends with the EOS."""
    return Template("alpaca", _JINJA, tokenizer, stop=eos_of(tokenizer, "alpaca"))
