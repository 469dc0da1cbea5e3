"""Render a config: find it, put its parts together, write the options in, run it."""

from __future__ import annotations

import ast
import functools
import logging
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import ConfigDict

from xtune.config.continued import with_adapter_found
from xtune.config.declared import declared_names
from xtune.config.find import find_config, xtuners_name
from xtune.config.foreign import foreign_imports
from xtune.config.inclusion import flatten
from xtune.config.options import apply_options
from xtune.config.sheet import Setting, Sheet, evaluate
from xtune.config.source import parse
from xtune.config.statements import Statement
from xtune.errors import ConfigError
from xtune.registry import MAP_FNS

__all__ = ["render"]

logger = logging.getLogger(__name__)


def render(name_or_path: str | Path, options: Sequence[str] = ()) -> Sheet:
    """Turn a config's name or path into the one flat sheet that runs.

    Rendering a rendered sheet gives the same text. A name of XTuner's gets a notice, once.

    Args:
        name_or_path: a shipped config's name, or any config file.
        options: `key=value` each, as after `--cfg-options`.

    Raises:
        UsageError: there is no such config; near names are listed.
        ConfigError: a file is broken, an option is wrong, the sheet fails, or it imports what is
            XTuner's; with file and line.
    """
    path = find_config(name_or_path)
    lines, history = flatten(path)
    if unusable := foreign_imports(lines, declared_names(MAP_FNS)):
        raise ConfigError("\n".join(unusable), unusable)
    lines, by_option, dotted = apply_options(lines, path, options)
    replaced = {name: [_setting(old) for old in olds] for name, olds in history.items()}
    for name, settings in by_option.items():
        replaced[name] = [*replaced.get(name, []), *settings]
    values = ConfigDict(with_adapter_found(evaluate(lines, path)))
    if theirs := xtuners_name(name_or_path):
        _say_what_it_is_called_here(str(name_or_path), *theirs, values.get("max_epochs"))
    return Sheet(path, lines, values, replaced, dotted)


def _setting(old: Statement) -> Setting:
    (assignment,) = parse(old.code).body
    assert isinstance(assignment, ast.Assign)
    return Setting(old.origin, ast.unparse(assignment.value))


@functools.cache  # a command renders more than once
def _say_what_it_is_called_here(theirs: str, ours: str, named: int | None, own: int | None) -> None:
    if named is None:
        what = "which any number of GPUs trains: NPROC_PER_NODE=8 xtune train ..."
    elif named == own:
        what = f"which trains {own} epoch{'s' if own != 1 else ''} too"
    else:
        what = f"which trains {own}, not {named} epochs: --cfg-options max_epochs={named}"
    logger.warning("XTuner's %s is here %s, %s", theirs, ours, what)
