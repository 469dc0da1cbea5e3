"""A chat template that writes the run's system text, for programs that know nothing of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["with_system", "write_system_into"]


def with_system(template: str, system: str) -> str:
    """Return a jinja chat template that writes a system text where a dialogue brings none.

    Args:
        template: takes `messages`.
        system: the text; '' leaves the template as it is.
    """
    if not system:
        return template
    message = f"{{'role': 'system', 'content': {json.dumps(system, ensure_ascii=False)}}}"
    return (
        "{%- if not messages or messages[0]['role'] != 'system' -%}"
        f"{{%- set messages = [{message}] + messages -%}}"
        f"{{%- endif -%}}{template}"
    )


def write_system_into(tokenizer: PreTrainedTokenizerBase, system: str) -> None:
    """Change a tokenizer's chat template, or all of several.

    Args:
        tokenizer: changed.
        system: the text.
    """
    given = tokenizer.chat_template
    if isinstance(given, str):
        tokenizer.chat_template = with_system(given, system)
    elif given:
        tokenizer.chat_template = {name: with_system(t, system) for name, t in given.items()}
