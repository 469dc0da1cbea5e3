"""The format of Vicuna 1.1 and later, and of WizardLM 13B: two names on one line, and the EOS.

    <s>Be brief. USER: 2 + 2? ASSISTANT: Four.</s>USER: And 3? ASSISTANT: Seven.</s>

The first sentence of a dialogue without a system text is the one that the models were tuned with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template, eos_of
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["vicuna"]

_JINJA = """\
{{- bos_token -}}
{%- if messages and messages[0].role != 'system' -%}
{{- 'A chat between a curious user and an artificial intelligence assistant. The assistant ' -}}
{{- "gives helpful, detailed, and polite answers to the user's questions. " -}}
{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{{- message.content + ' ' if message.content -}}
{%- elif message.role == 'user' -%}
{{- 'USER: ' + message.content + ' ' -}}
{%- elif message.role == 'assistant' -%}
{{- 'ASSISTANT: ' + message.content + eos_token -}}
{%- else -%}
{{- raise_exception('vicuna has no place for the role ' + message.role) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- 'ASSISTANT:' -}}
{%- endif -%}
"""


@TEMPLATES.register_module(name=["vicuna", "wizardlm"])
def vicuna(tokenizer: PreTrainedTokenizerBase) -> Template:
    """Vicuna 1.1 and later, WizardLM 13B; an answer ends with the tokenizer's EOS."""
    return Template("vicuna", _JINJA, tokenizer, stop=eos_of(tokenizer, "vicuna"))
