"""DeepSeek-Coder's instruct format: Alpaca's headings, and an end token of its own.

    <s>Be brief.### Instruction:
    2 + 2?
    ### Response:
    Four.
    <|EOT|>

The first sentence of a dialogue without a system text is the one that the models were tuned with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["deepseek_coder"]

_JINJA = """\
{{- bos_token -}}
{%- if messages and messages[0].role != 'system' -%}
{{- 'You are an AI programming assistant, utilizing the Deepseek Coder model, developed by ' -}}
{{- 'Deepseek Company, and you only answer questions related to computer science. For ' -}}
{{- 'politically sensitive questions, security and privacy issues, and other non-computer ' -}}
{{- 'science questions, you will refuse to answer\\n' -}}
{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{{- message.content -}}
{%- elif message.role == 'user' -%}
{{- '### Instruction:\\n' + message.content + '\\n' -}}
{%- elif message.role == 'assistant' -%}
{{- '### Response:\\n' + message.content + '\\n<|EOT|>\\n' -}}
{%- else -%}
{{- raise_exception('deepseek_coder has no place for the role ' + message.role) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '### Response:\\n' -}}
{%- endif -%}
"""


@TEMPLATES.register_module(name=["deepseek_coder", "deepseekcoder"])
def deepseek_coder(tokenizer: PreTrainedTokenizerBase) -> Template:
    """DeepSeek-Coder, -instruct; 'deepseekcoder' is XTuner's second name."""
    return Template("deepseek_coder", _JINJA, tokenizer, stop="<|EOT|>")
