"""Llama 3's chat format.

    <|begin_of_text|><|start_header_id|>system<|end_header_id|>

    Be brief.<|eot_id|><|start_header_id|>user<|end_header_id|>

    2 + 2?<|eot_id|><|start_header_id|>assistant<|end_header_id|>

    Four.<|eot_id|>

The names between the header tokens are ordinary text. What stands around a text is stripped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["llama3_chat"]

_JINJA = """\
{{- bos_token -}}
{%- for message in messages -%}
{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' -}}
{{- message.content | trim + '<|eot_id|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
{%- endif -%}
"""


@TEMPLATES.register_module(name=["llama3_chat", "llama3"])
def llama3_chat(tokenizer: PreTrainedTokenizerBase) -> Template:
    """Llama 3; tools are not written. Llama 3.1 and later have llama3_1_chat."""
    return Template("llama3_chat", _JINJA, tokenizer, stop="<|eot_id|>")
