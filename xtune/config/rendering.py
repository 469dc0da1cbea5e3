"""Render a config: find it, put its parts together, write the options in, run it."""

from __future__ import annotations

import ast
import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import ConfigDict

from xtune.config.continued import with_adapter_found
from xtune.config.declared import declared_names
from xtune.config.find import find_config, xtuners_name
from xtune.config.foreign import foreign_imports
from xtune.config.inclusion import flatten
from xtune.config.knobs import as_options
from xtune.config.options import apply_options
from xtune.config.sheet import Setting, Sheet, evaluate
from xtune.config.source import parse
from xtune.config.statements import Statement
from xtune.errors import ConfigError
from xtune.registry import MAP_FNS

__all__ = ["render"]

logger = logging.getLogger(__name__)


def render(config: str | Path | Sheet, options: Sequence[str] = (), /, **knobs: Any) -> Sheet:
    """Turn a config's name or path into the one flat sheet that runs.

        sheet = xtune.render('smollm2_135m_lora_toolcall', lr=1e-4, max_steps=20)
        sheet = xtune.render(sheet, **{'lora.r': 8})   # a dotted key: a value inside a dict
        print(sheet)

    Rendering a rendered sheet gives the same text. A name of XTuner's gets a notice, once.

    Args:
        config: a shipped config's name, any config file, or a sheet to change further.
        options: `key=value` each, as after `--cfg-options`.
        **knobs: the same in Python: what stands in PART 1 of the sheet, by its name, and anything
            else by its dotted key. All that is derived from a knob follows it.

    Returns:
        The sheet; printed it is the text that runs.

    Raises:
        UsageError: there is no such config; near names are listed.
        ConfigError: a file is broken or imports what is XTuner's, an option or knob is wrong, or
            the sheet fails; with file and line, and the nearest name.
    """
    if isinstance(config, Sheet):
        path, lines = config.path, list(config.lines)
        replaced = {name: list(olds) for name, olds in config.replaced.items()}
        dotted = dict(config.options)
    else:
        path = find_config(config)
        lines, history = flatten(path)
        replaced = {name: [_setting(old) for old in olds] for name, olds in history.items()}
        dotted = {}
    if unusable := foreign_imports(lines, declared_names(MAP_FNS)):
        raise ConfigError("\n".join(unusable), unusable)
    for given, flag in ((options, "--cfg-options "), (as_options(knobs), "")):
        lines, by_option, new = apply_options(lines, path, given, flag)
        dotted |= new
        for name, settings in by_option.items():
            replaced[name] = [*replaced.get(name, []), *settings]
    values = ConfigDict(with_adapter_found(evaluate(lines, path)))
    if not isinstance(config, Sheet) and (theirs := xtuners_name(config)):
        _say_what_it_is_called_here(str(config), *theirs, values.get("max_epochs"))
    return Sheet(path, lines, values, replaced, dotted)


def _setting(old: Statement) -> Setting:
    (assignment,) = parse(old.code).body
    assert isinstance(assignment, ast.Assign)
    return Setting(old.origin, ast.unparse(assignment.value))


@functools.cache  # a command renders more than once
def _say_what_it_is_called_here(theirs: str, ours: str, named: int | None, own: int | None) -> None:
    if named is None and "_varlenattn" in theirs:
        what = "which keeps the answers that share a row apart without being asked"
    elif named is None:
        what = "which any number of GPUs trains: NPROC_PER_NODE=8 xtune train ..."
    elif named == own:
        what = f"which trains {own} epoch{'s' if own != 1 else ''} too"
    else:
        what = f"which trains {own}, not {named} epochs: --cfg-options max_epochs={named}"
    logger.warning("XTuner's %s is here %s, %s", theirs, ours, what)
