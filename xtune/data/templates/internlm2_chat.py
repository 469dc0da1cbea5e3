"""InternLM2's chat format: ChatML after one BOS.

    <s><|im_start|>system
    Be brief.<|im_end|>
    <|im_start|>user
    2 + 2?<|im_end|>
    <|im_start|>assistant
    Four.<|im_end|>

The role names are ordinary text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["internlm2_chat"]

_JINJA = """\
{{- bos_token -}}
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""


@TEMPLATES.register_module()
def internlm2_chat(tokenizer: PreTrainedTokenizerBase) -> Template:
    """InternLM2, 2.5 and 3; tools are not written."""
    return Template("internlm2_chat", _JINJA, tokenizer, stop="<|im_end|>")
