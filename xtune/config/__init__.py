"""Configs: find one by name, render it to a flat sheet, check it, say where a value comes from.

    find.py         a name or path -> a file
    statements.py   a leaf or part -> its assignments and inclusions
    inclusion.py    a leaf and its parts -> one flat sheet
    options.py      --cfg-options, written into the sheet
    sheet.py        the sheet: text, values, the origin of each
    validation.py   the check; rules.py what must hold between values
    slots.py        what may stand where; plain_sections.py without a type, unplaced.py unannotated;
                    signatures.py, hints.py what an argument may be
    declared.py     both read from source, and not from what is imported

Names are imported when first used: `xtune list-cfg` needs find.py alone, at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xtune.config.find import find_config, list_configs
    from xtune.config.rendering import render
    from xtune.config.sheet import Sheet, flat_items
    from xtune.config.source import Origin
    from xtune.config.validation import Problem, check, problem_at, require_valid

__all__ = [
    "Origin",
    "Problem",
    "Sheet",
    "check",
    "find_config",
    "flat_items",
    "list_configs",
    "problem_at",
    "render",
    "require_valid",
]

_HOMES = {
    "Origin": "source",
    "Problem": "validation",
    "Sheet": "sheet",
    "check": "validation",
    "find_config": "find",
    "flat_items": "sheet",
    "list_configs": "find",
    "problem_at": "validation",
    "render": "rendering",
    "require_valid": "validation",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
