"""InternLM's first chat format (internlm-chat-7b, -20b).

    <s><|System|>:Be brief.
    <|User|>:2 + 2?<eoh>
    <|Bot|>:Four.<eoa>

<eoh> and <eoa> are tokens of its vocabulary; <|User|> and <|Bot|> are ordinary text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["internlm_chat"]

_JINJA = """\
{{- bos_token -}}
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{{- '<|System|>:' + message.content + '\\n' -}}
{%- elif message.role == 'user' -%}
{{- '<|User|>:' + message.content + '<eoh>\\n' -}}
{%- elif message.role == 'assistant' -%}
{{- '<|Bot|>:' + message.content + '<eoa>\\n' -}}
{%- else -%}
{{- raise_exception('internlm_chat has no place for the role ' + message.role) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|Bot|>:' -}}
{%- endif -%}
"""


@TEMPLATES.register_module()
def internlm_chat(tokenizer: PreTrainedTokenizerBase) -> Template:
    """InternLM 1; an answer ends with <eoa>."""
    return Template("internlm_chat", _JINJA, tokenizer, stop="<eoa>")
