"""ChatGLM3's chat format, with tools.

    [gMASK]<sop><|system|>
     Be brief.<|user|>
     2 + 2?<|assistant|>add
     ```python
    tool_call(a=2, b=2)
    ```<|observation|>
     4<|assistant|>
     Four.<|user|>

What ends an answer is the token that opens the next turn: <|user|>, or <|observation|> after a
call. Each text begins with a space, and the line after <|assistant|> names the tool; it is empty in
a plain answer, and the model writes the line break itself. '<sop>' is the token that the original
calls 'sop'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template
from xtune.data.templates.glm4 import GLM_END
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["chatglm3"]

_JINJA = (
    """\
{{- '[gMASK]<sop>' -}}
{%- if tools -%}
{{- '<|system|>\\n Answer the following questions as best as you can. ' -}}
{{- 'You have access to the following tools:\\n' + tools | tojson(indent=4) -}}
{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'tool' -%}
{{- '<|observation|>\\n ' + message.content -}}
{%- else -%}
{%- if message.content or not message.tool_calls -%}
{{- '<|' + message.role + '|>\\n ' + message.content -}}
{%- endif -%}
{%- for call in message.tool_calls or [] -%}
{%- set call = call.function or call -%}
{%- if call.arguments is string -%}
{{- raise_exception('chatglm3 writes arguments as keywords; give them as an object, not text') -}}
{%- endif -%}
{{- '<|assistant|>' + call.name + '\\n ```python\\ntool_call(' -}}
{%- for name, value in call.arguments.items() -%}
{{- name + '=' + value | tojson + ('' if loop.last else ', ') -}}
{%- endfor -%}
{{- ')\\n```' -}}
{%- endfor -%}
{%- endif -%}
{%- endfor -%}
"""
    + GLM_END
)


@TEMPLATES.register_module()
def chatglm3(tokenizer: PreTrainedTokenizerBase) -> Template:
    """ChatGLM3; a plain answer ends with <|user|>, a call with <|observation|>."""
    return Template("chatglm3", _JINJA, tokenizer, stop=("<|user|>", "<|observation|>"))
