"""Check a sheet before any weight is loaded; every problem at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from xtune.config import foreign
from xtune.config.continued import contradicting_options
from xtune.config.declared import declared_names
from xtune.config.find import config_root
from xtune.config.literals import top_level
from xtune.config.rules import breaches
from xtune.config.sheet import Sheet
from xtune.config.signatures import Form
from xtune.config.slots import REQUIRED_KEYS, SHEET_KEYS, named, plain, slots
from xtune.config.source import parse, read_lines
from xtune.config.unplaced import unplaced
from xtune.errors import ConfigError, RegistryError, did_you_mean
from xtune.registry import resolve

__all__ = ["Problem", "check", "problem_at", "require_valid"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a config.

    Attributes:
        file: the file whose line set the value; or the `--cfg-options` that did.
        line: its line, from 1; 0 for an option.
        key: the dotted key.
        value: the value, as Python writes it, shortened; '' when there is none.
        message: what is wrong.
        hint: what is allowed, or what to do; may be ''.
    """

    file: str
    line: int
    key: str
    value: str
    message: str
    hint: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        value = f" = {self.value}" if self.value else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{place}: {self.key}{value}: {self.message}{hint}"

    def to_dict(self) -> dict[str, str | int]:
        """Return the fields, for JSON."""
        return asdict(self)


def check(sheet: Sheet, *, data: bool = True, trains: bool = True) -> list[Problem]:
    """Return everything that is wrong with a sheet.

    Every name at the top level must be a section of a sheet or be used by one; every `type` must
    be known in its place and fit the arguments next to it; then come the rules between values.

    Args:
        sheet: rendered.
        data: whether its data files must be there; what only counts memory needs none.
        trains: whether its algorithm must be one that learns from its data; what only shows them
            does not ask.
    """
    findings = [
        *_missing_sections(sheet),
        *_unused_names(sheet),
        *_sections_that_are_no_dicts(sheet),
        *_slots(sheet),
        *_unplaced(sheet),
        *_names(sheet),
        *_plain_sections(sheet),
    ]
    # An adapter with a wrong value cannot be put on a model; that it does not fit is no news
    wrong_in_adapter = any(finding.key.startswith("model.adapter.") for finding in findings)
    broken = [
        breach
        for breach in breaches(sheet.values, data=data, trains=trains)
        if not (wrong_in_adapter and breach.key == "model.adapter")
    ]
    findings += [problem_at(sheet, b.key, b.message, b.hint) for b in broken]
    findings += [
        problem_at(sheet, *contradiction) for contradiction in contradicting_options(sheet)
    ]
    # One knob in several places is one mistake
    places = {(p.file, p.line, p.value, p.message): p for p in reversed(findings)}
    return sorted(places.values(), key=findings.index)


def require_valid(sheet: Sheet, *, data: bool = True, trains: bool = True) -> None:
    """Check a sheet.

    Args:
        sheet: rendered.
        data: as for `check`.
        trains: as for `check`.

    Raises:
        ConfigError: with every problem, a line each, and the list of them in `.problems`.
    """
    problems = check(sheet, data=data, trains=trains)
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        text = "\n".join(f"  {problem}" for problem in problems)
        raise ConfigError(f"{sheet.name} has {count}:\n{text}", problems)


def problem_at(
    sheet: Sheet, key: str, message: str, hint: str = "", *, of_value: bool = True
) -> Problem:
    """Return a problem of a sheet's key, with its place and value.

    Args:
        sheet: rendered.
        key: dotted; the sheet may lack it.
        message: what is wrong.
        hint: what is allowed, or what to do.
        of_value: whether the value is at fault, and not that the key is there or missing; a knob's
            value comes from where the knob is set.
    """
    origin = sheet.origin(key, of_value=of_value)
    value: Any = sheet.values
    try:
        for part in key.split("."):
            value = value[int(part)] if isinstance(value, list | tuple) else value[part]
        shown = repr(value)
    except (KeyError, IndexError, TypeError, ValueError):
        shown = ""
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return Problem(origin.file, origin.line, key, shown, message, hint)


def _missing_sections(sheet: Sheet) -> Iterator[Problem]:
    for key in REQUIRED_KEYS:
        if sheet.values.get(key) is None:
            yield problem_at(sheet, key, "this section is missing", "copy it from a shipped config")


def _unused_names(sheet: Sheet) -> Iterator[Problem]:
    used = {
        node.id
        for node in ast.walk(sheet.tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    # A knob may lie idle: without hooks nothing uses evaluation_freq. A name of no part may not.
    known = {*SHEET_KEYS, *_knobs_of_parts()}
    for name in sheet.values:
        if name not in used and name not in known:
            others = {*sheet.values, *known} - {name}
            near = did_you_mean(name, sorted(others)).removeprefix("; ")
            hint = foreign.hint(name) or near or "use it in a section, or delete it"
            yield problem_at(sheet, name, "nothing in the sheet uses this name", hint)


def _knobs_of_parts() -> set[str]:
    """Every name that a shipped part sets."""
    parts = (config_root() / "_base_").rglob("*.py")
    return {binding.key[0] for path in parts for binding in top_level(parse(read_lines(path)))}


def _sections_that_are_no_dicts(sheet: Sheet) -> Iterator[Problem]:
    if not isinstance(sheet.values.get("default_hooks", {}), Mapping):
        yield problem_at(sheet, "default_hooks", "must be a dict of hooks by name")
    hooks = sheet.values.get("custom_hooks")
    if hooks is not None and not isinstance(hooks, list | tuple):
        yield problem_at(sheet, "custom_hooks", "must be a list of hooks")
    measured = sheet.values.get("evaluations")
    if measured is not None and not isinstance(measured, list | tuple):
        hint = "on the command line: [{'type': 'MMLU', 'every': 500}]"
        yield problem_at(sheet, "evaluations", "must be a list of dicts", hint)


def _slots(sheet: Sheet) -> Iterator[Problem]:
    for slot in slots(sheet.values):
        if not isinstance(slot.cfg, Mapping) or "type" not in slot.cfg:
            hint = f"type: one of {', '.join(declared_names(slot.registry))}"
            yield problem_at(sheet, slot.key, "must be a dict with a type", hint)
            continue
        try:
            form = slot.form()
        except RegistryError as error:
            said = foreign.hint(str(slot.cfg["type"]))
            yield problem_at(sheet, f"{slot.key}.type", str(error), said)
            continue
        yield from _arguments(sheet, slot.key, form, slot.given)


def _unplaced(sheet: Sheet) -> Iterator[Problem]:
    for one in unplaced(sheet.values):
        if one.form is not None:
            yield from _arguments(sheet, one.key, one.form, one.given)
            continue
        yield problem_at(
            sheet,
            f"{one.key}.type",
            f"no registry has it{one.near}",
            f"annotate the parameter {one.argument!r} with the registry that has it, as in "
            "Annotated[Mapping[str, Any], HOOKS], or with Mapping[str, Any] where `type` is a word "
            "of your own",
        )


def _arguments(sheet: Sheet, key: str, form: Form, given: Mapping[str, Any]) -> Iterator[Problem]:
    for misfit in form.misfits(given):
        where = f"{key}.{misfit.argument}"
        yield problem_at(sheet, where, misfit.message, misfit.hint, of_value=misfit.is_value)


def _names(sheet: Sheet) -> Iterator[Problem]:
    for key, registry, value in named(sheet.values):
        try:
            resolve(registry, value)
        except RegistryError as error:
            yield problem_at(sheet, key, str(error))


def _plain_sections(sheet: Sheet) -> Iterator[Problem]:
    for key, section, form in plain(sheet.values):
        if isinstance(section, Mapping):
            yield from _arguments(sheet, key, form, section)
        else:
            yield problem_at(sheet, key, f"must be a dict of {', '.join(form.arguments)}")
