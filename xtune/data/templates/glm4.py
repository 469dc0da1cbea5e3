"""GLM-4's chat format (GLM-4-9B, GLM-4-0414), with tools.

    [gMASK]<sop><|system|>
    Be brief.<|user|>
    2 + 2?<|assistant|>add
    {"a": 2, "b": 2}<|observation|>
    4<|assistant|>
    Four.<|user|>

What ends an answer is the token that opens the next turn: <|user|>, or <|observation|> after a
call. The line after <|assistant|> names the tool; it is empty in a plain answer, and the model
writes the line break itself. Several calls are one assistant turn each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template
from xtune.registry import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["GLM_END", "glm4"]

# What ends an answer is the token that opens the next turn, also where there is none yet
GLM_END = """\
{%- if add_generation_prompt -%}
{{- '<|assistant|>' -}}
{%- elif messages and messages[-1].role == 'assistant' -%}
{{- '<|observation|>' if messages[-1].tool_calls else '<|user|>' -}}
{%- endif -%}
"""

_JINJA = (
    """\
{{- '[gMASK]<sop>' -}}
{%- if tools -%}
{{- '<|system|>\\n# 可用工具' -}}
{%- for tool in tools -%}
{%- set tool = tool.function or tool -%}
{{- '\\n\\n## ' + tool.name + '\\n\\n' + tool | tojson(indent=4) -}}
{{- '\\n在调用上述函数时，请使用 Json 格式表示调用的参数。' -}}
{%- endfor -%}
{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'tool' -%}
{{- '<|observation|>\\n' + message.content -}}
{%- else -%}
{%- if message.content or not message.tool_calls -%}
{{- '<|' + message.role + '|>\\n' + message.content -}}
{%- endif -%}
{%- for call in message.tool_calls or [] -%}
{%- set call = call.function or call -%}
{%- set arguments = call.arguments if call.arguments is string else call.arguments | tojson -%}
{{- '<|assistant|>' + call.name + '\\n' + arguments -}}
{%- endfor -%}
{%- endif -%}
{%- endfor -%}
"""
    + GLM_END
)


@TEMPLATES.register_module()
def glm4(tokenizer: PreTrainedTokenizerBase) -> Template:
    """GLM-4; a plain answer ends with <|user|>, a call with <|observation|>."""
    return Template("glm4", _JINJA, tokenizer, stop=("<|user|>", "<|observation|>"))
