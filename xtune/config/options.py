"""`--cfg-options lr=1e-5 lora.r=8`: written into the text of a sheet before it runs.

A bare knob replaces the knob's own expression, so that everything derived from it follows. A
dotted key replaces the expression inside the literal where it stands; where that is no literal,
a statement is added behind. A value is a Python literal, a list of words where a list may stand
(see `xtune.config.lists`), or else a string; it is never run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xtune.config.foreign import hint
from xtune.config.lists import may_be_a_list, typed_list
from xtune.config.literals import find, is_set, last_entry, top_level
from xtune.config.sheet import Setting, evaluate
from xtune.config.slots import SHEET_KEYS, form_of, keys_of
from xtune.config.source import Line, Origin, parse, replace_node
from xtune.errors import ConfigError, did_you_mean

__all__ = ["apply_options", "parse_value"]


def parse_value(text: str) -> Any:
    """Read the value of an option: a Python literal, true or false, or else a string.

    >>> parse_value('1e-5'), parse_value('[1, 2]'), parse_value('false'), parse_value('my.json')
    (1e-05, [1, 2], False, 'my.json')
    """
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def apply_options(
    lines: Sequence[Line], path: Path, options: Sequence[str], flag: str = "--cfg-options "
) -> tuple[list[Line], dict[str, list[Setting]], dict[str, Origin]]:
    """Write the options into a sheet.

    Args:
        lines: the flat sheet.
        path: its file, for messages.
        options: `key=value` each; of two for one key the later holds.
        flag: what stands before each where it was given, for messages.

    Returns:
        The new lines; what bare options replaced, by name; where each dotted option came from.

    Raises:
        ConfigError: some options are wrong; says of every one what is, and the nearest name.
    """
    editor = _Editor(list(lines), path, flag)
    problems, reasons = [], set()
    for option in options:
        before = list(editor.lines)
        try:
            editor.set(option)
        except ConfigError as error:
            editor.lines = before  # so that it does not make the next ones fail
            problems.append(f"{flag}{option}: {error}")
            reasons.add(str(error))
    if len(reasons) == 1:  # perhaps the sheet's own, whatever the options
        evaluate(lines, path)
    if problems:
        raise ConfigError("\n".join(problems), problems)
    return editor.lines, editor.replaced, editor.dotted


class _Editor:
    """A sheet that options are being written into, one after the other."""

    def __init__(self, lines: list[Line], path: Path, flag: str) -> None:
        self.lines = lines
        self.path = path
        self.flag = flag
        self.replaced: dict[str, list[Setting]] = {}
        self.dotted: dict[str, Origin] = {}

    def set(self, option: str) -> None:
        """Write one `key=value` into the lines."""
        key, equals, text = option.partition("=")
        key = key.strip()
        if not equals or not all(part.isidentifier() or part.isdigit() for part in key.split(".")):
            raise ConfigError("an option is key=value, such as lr=1e-5 or lora.r=8")
        origin = Origin(f"{self.flag}{option}", 0)
        value = self._value(key, text)
        source = _source(value)
        if "." in key:
            self._set_dotted(key, source, origin)
        else:
            self._set_knob(key, source, origin)
        if _item_at(evaluate(self.lines, self.path), key.split(".")) != value:
            raise ConfigError(
                f"{self.path.name} sets {key!r} again in a way that an option cannot replace: "
                "edit it there"
            )

    def _value(self, key: str, text: str) -> Any:
        value = parse_value(text)
        if isinstance(value, str) and value == text:  # no literal
            listed = typed_list(text, parse_value)
            if listed is not None and may_be_a_list(
                key, evaluate(self.lines, self.path), top_level(parse(self.lines))
            ):
                return listed
        return value

    def _set_knob(self, name: str, source: str, origin: Origin) -> None:
        tree = parse(self.lines)
        mine = [binding for binding in top_level(tree) if binding.key == (name,)]
        if not mine:
            if (elsewhere := is_set(tree, name)) is not None:
                raise self._computed(name, elsewhere)
            if name not in SHEET_KEYS:
                known = {binding.key[0] for binding in top_level(tree)} | set(SHEET_KEYS)
                near = hint(name) or did_you_mean(name, known).removeprefix("; ")
                end = "" if near.endswith("?") else "."
                raise ConfigError(
                    f"the config has no {name!r}{f'; {near}' if near else ''}{end} "
                    f"`xtune explain {self.path.stem}` lists its names"
                )
            self.lines = [*self.lines, Line(f"{name} = {source}", origin)]
        for binding in reversed(mine):  # from the end, so that line numbers before it stay true
            statement = binding.statement
            if isinstance(statement, ast.Assign) and len(statement.targets) > 1:
                raise self._computed(name, statement)
            old = self.lines[statement.lineno - 1].origin
            setting = Setting(old, ast.unparse(binding.value))
            self.replaced.setdefault(name, []).insert(0, setting)
            self.lines = replace_node(self.lines, binding.value, source, origin)

    def _set_dotted(self, key: str, source: str, origin: Origin) -> None:
        *above, last = key.split(".")
        owner, is_new = self._owner(key)
        tree = parse(self.lines)
        reached = ".".join(above) if is_new else key
        found = find(top_level(tree), reached, through_last=is_new)
        if found is None:
            elsewhere = is_set(tree, key.split(".")[0])
            assert elsewhere is not None  # it has a value, so something sets it
            raise self._computed(above[0], elsewhere)
        self.dotted[key] = origin
        for followed in found.keys[1:]:  # model.adapter.r is lora.r too
            self.dotted[f"{followed}.{last}" if is_new else followed] = origin
        if not found.rest and not is_new:
            self.lines = replace_node(self.lines, found.node, source)
        elif not found.rest and (entry := last_entry(found.node)) is not None:
            pair = f"{last}={source}" if isinstance(entry, ast.keyword) else f"{last!r}: {source}"
            self._insert_entry(entry, pair, origin)
        elif isinstance(owner, tuple):
            raise ConfigError("it lies in a tuple that is computed: set the tuple")
        else:
            self._add_statement(key, source, origin)

    def _owner(self, key: str) -> tuple[Any, bool]:
        """The dict or list that `key` lies in, and whether `key` would be new in it."""
        values = evaluate(self.lines, self.path)
        *above, last = key.split(".")
        owner = _item_at(values, above)
        allowed: Sequence[str] = ()
        if isinstance(owner, Mapping) and last not in owner:
            form = form_of(values, owner)
            if form is not None:
                if form.open or last in form.arguments:
                    return owner, True
                allowed = form.arguments
        elif owner is None and above:
            allowed = keys_of(values, above[-1])
        _item(owner, last, ".".join(above), allowed)
        return owner, False

    def _insert_entry(self, before: ast.keyword | ast.expr, pair: str, origin: Origin) -> None:
        """Write an entry into a literal dict, before its last one: no comma to look for there."""
        at = before.lineno - 1
        text, old = self.lines[at]
        head = text.encode()[: before.col_offset].decode()
        if head.strip():
            rest = text.encode()[before.col_offset :].decode()
            self.lines[at] = Line(f"{head}{pair}, {rest}", old)
        else:  # one entry a line
            self.lines.insert(at, Line(f"{head}{pair},", origin))

    def _add_statement(self, key: str, source: str, origin: Origin) -> None:
        name, *parts = key.split(".")
        last = [binding for binding in top_level(parse(self.lines)) if binding.key[0] == name][-1]
        target = name + "".join(f"[{part if part.isdigit() else repr(part)}]" for part in parts)
        assert last.statement.end_lineno is not None
        self.lines.insert(last.statement.end_lineno, Line(f"{target} = {source}", origin))

    def _computed(self, name: str, node: ast.stmt | ast.expr) -> ConfigError:
        return ConfigError(
            f"{self.lines[node.lineno - 1].origin} sets {name!r} in a way that an option cannot "
            "replace: edit it there"
        )


def _item_at(values: Any, parts: Sequence[str]) -> Any:
    """What stands at a dotted key, given in parts."""
    for depth, part in enumerate(parts):
        values = _item(values, part, ".".join(parts[:depth]))
    return values


def _item(owner: Any, part: str, where: str, also_allowed: Iterable[str] = ()) -> Any:
    """Return `owner[part]`, or say what it has instead."""
    what = f"{where!r}" if where else "the config"
    if isinstance(owner, Mapping):
        if part not in owner:
            has = list(map(str, owner))
            near = did_you_mean(part, [*has, *also_allowed]).removeprefix("; ")
            near = hint(part) or near or f"it has: {', '.join(has)}"
            raise ConfigError(f"{what} has no {part!r}; {near}")
        return owner[part]
    if isinstance(owner, list | tuple):
        if not part.isdigit() or int(part) >= len(owner):
            raise ConfigError(f"{what} has {len(owner)} items, numbered from 0, and no {part!r}")
        return owner[int(part)]
    whole = _given_whole(where, part, list(also_allowed)) if owner is None else ""
    raise ConfigError(f"{what} is {owner!r} and has no {part!r}{whole}")


def _given_whole(where: str, part: str, allowed: Sequence[str]) -> str:
    """Say how a dict that is None is given with a key: one of those `allowed`, or with a type."""
    if not allowed:
        return f"; give it whole: \"{where}={{'type': …, {part!r}: …}}\""
    if part in allowed:
        return f'; give it whole: "{where}={{{part!r}: …}}"'
    near = did_you_mean(part, allowed) or f"; it takes: {', '.join(allowed)}."
    right = near.split("'")[1] if near.endswith("?") else allowed[0]
    return f'{near} Give it whole: "{where}={{{right!r}: …}}"'


def _source(value: Any) -> str:
    """Write a value as Python that reads back as the same value."""
    source = repr(value)
    try:
        ast.literal_eval(source)
    except (ValueError, SyntaxError):  # 1e999 is infinite, which no literal is
        raise ConfigError(f"{source} cannot be written as a literal") from None
    return source
