"""From a Conversation to text, and which of it is trained: one file per chat format.

A new format is a new file here: its text in jinja, and a function that makes a `Template` of it,
registered in TEMPLATES. Its golden file is tests/golden/<name>.txt.
"""

from xtune.data.templates.base import Template, build_template

__all__ = ["Template", "build_template"]
