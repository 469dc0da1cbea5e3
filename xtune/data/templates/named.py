"""Tokenizers with several chat templates by name: which of them a training replaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.data.templates.base import Template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["trained_templates"]

_DEFAULT, _WITH_TOOLS = "default", "tool_use"  # the names by which transformers chooses


def trained_templates(
    template: Template, tokenizer: PreTrainedTokenizerBase
) -> str | dict[str, str] | None:
    """Return the `chat_template` to save: the trained one, and whatever else has a name.

    Where a registered template writes tools it takes the place of 'tool_use' too: transformers
    renders every dialogue with tools by that one, and it was not trained with.

    Args:
        template: of the training.
        tokenizer: as it was loaded.
    """
    named = tokenizer.chat_template
    if not isinstance(named, dict) or template.jinja is None:
        return template.jinja
    kept = named | {_DEFAULT: template.jinja}
    if template.name != "auto" and _WITH_TOOLS in kept and "tools" in template.jinja:
        kept[_WITH_TOOLS] = template.jinja
    return kept
