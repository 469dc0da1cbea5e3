"""Cohere's chat format (Command R, Aya).

    <BOS_TOKEN><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>Be brief.<|END_OF_TURN_TOKEN|>
    <|START_OF_TURN_TOKEN|><|USER_TOKEN|>2 + 2?<|END_OF_TURN_TOKEN|>
    <|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>Four.<|END_OF_TURN_TOKEN|>

All on one line; what stands around a text is stripped, as Cohere's own template does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["cohere_chat"]

_JINJA = """\
{%- set speaker = {'system': 'SYSTEM', 'user': 'USER', 'assistant': 'CHATBOT'} -%}
{{- bos_token -}}
{%- for message in messages -%}
{%- if message.role not in speaker -%}
{{- raise_exception('cohere_chat has no place for the role ' + message.role) -}}
{%- endif -%}
{{- '<|START_OF_TURN_TOKEN|><|' + speaker[message.role] + '_TOKEN|>' -}}
{{- message.content | trim + '<|END_OF_TURN_TOKEN|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' -}}
{%- endif -%}
"""


@TEMPLATES.register_module()
def cohere_chat(tokenizer: PreTrainedTokenizerBase) -> Template:
    """Command R; tools are not written."""
    return Template("cohere_chat", _JINJA, tokenizer, stop="<|END_OF_TURN_TOKEN|>")
