"""A plan as a model writes it: steps that name a tool, and refer to the results of other steps.

    Plan: find the height, then double it
    #E1 = search[height of Galdhøpiggen]
    #E2 = calculator[{"expression": "2 * #E1"}]

The steps are a graph: #E2 waits for #E1, and what waits for nothing runs at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xtune.agents.react_text import read_arguments_text
from xtune.errors import did_you_mean
from xtune.tools.spec import ToolSpec

__all__ = ["BadPlan", "PlanStep", "filled", "read_plan"]

_STEP = re.compile(r"^[ \t>*-]*#?(E\d+)\s*[=＝:：]\s*`?([\w.-]+)\s*[\[(（【](.*)$")
_WHY = re.compile(r"^[ \t>*#-]*(?:Plan|计划)\s*\d*\s*[*_]*[:：]\s*(.*)$", re.IGNORECASE)
_REFERENCE = re.compile(r"#(E\d+)\b")
_MOST = 20


class BadPlan(ValueError):
    """A plan cannot be carried out; all its faults in one text."""


@dataclass(frozen=True)
class PlanStep:
    """A step of a plan.

    Attributes:
        name: 'E1'.
        why: what the plan says of it.
        tool: its tool.
        arguments: by name; texts in them may hold references, '#E1'.
        needs: names of the steps that it refers to.
    """

    name: str
    why: str
    tool: str
    arguments: Mapping[str, Any]
    needs: frozenset[str]


def read_plan(text: str, specs: dict[str, ToolSpec]) -> list[PlanStep]:
    """Read a plan and check that it can be carried out.

    Args:
        text: what the model wrote.
        specs: the tools, by name.

    Returns:
        The steps in an order in which each comes after what it refers to; none if the text has
        no step: an answer without a plan.

    Raises:
        BadPlan: unknown tools or references, a cycle, a name twice, arguments that cannot be
            read; before anything runs.
    """
    faults: list[str] = []
    steps: dict[str, PlanStep] = {}
    why = ""
    for line in _whole_lines(text):
        if reason := _WHY.match(line):
            why = reason[1].strip()
            continue
        found = _STEP.match(line)
        if found is None:
            continue
        name, tool, given = found[1], found[2], _without_last_bracket(found[3])
        arguments = read_arguments_text(tool, given, specs)
        if tool not in specs:
            near = did_you_mean(tool, specs) or f"; there are: {', '.join(specs)}"
            faults.append(f"#{name} uses {tool!r}, which is no tool{near}")
        elif arguments is None:
            faults.append(f"the arguments of #{name} must be a JSON object, not {given[:80]!r}")
        if name in steps:
            faults.append(f"there are two steps #{name}")
        needs = frozenset(_REFERENCE.findall(given))
        steps[name] = PlanStep(name, why, tool, arguments or {}, needs)
        why = ""
    if len(steps) > _MOST:
        faults.append(f"{len(steps)} steps, and {_MOST} are allowed")
    for step in steps.values():
        unknown = sorted(step.needs - steps.keys())
        faults += [f"#{step.name} refers to #{each}, which is no step" for each in unknown]
    ordered = _ordered(steps) if not faults else []
    if len(ordered) < len(steps) and not faults:
        left = [f"#{name}" for name in steps if name not in {step.name for step in ordered}]
        faults.append(f"{', '.join(left)} wait for each other")
    if faults:
        raise BadPlan("; ".join(faults))
    return ordered


def filled(value: Any, results: Mapping[str, str]) -> Any:
    """Return arguments with each reference replaced by its result.

    Args:
        value: JSON, whose texts may hold references such as #E1.
        results: by the name of the reference, without '#'.

    >>> filled({"expression": "2 * #E1", "n": 3}, {"E1": "21"})
    {'expression': '2 * 21', 'n': 3}
    """
    if isinstance(value, str):
        return _REFERENCE.sub(lambda found: results.get(found[1], found[0]).strip(), value)
    if isinstance(value, Mapping):
        return {key: filled(each, results) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, results) for each in value]
    return value


def _ordered(steps: Mapping[str, PlanStep]) -> list[PlanStep]:
    """Those that can run, each after what it needs; the members of a cycle are left out."""
    done: dict[str, PlanStep] = {}
    while ready := [s for s in steps.values() if s.name not in done and s.needs <= done.keys()]:
        done |= {step.name: step for step in ready}
    return list(done.values())


def _whole_lines(text: str) -> list[str]:
    """The lines, with what stands between a step's bracket and its end joined to one."""
    lines: list[str] = []
    for line in text.splitlines():
        starts = _STEP.match(line) or _WHY.match(line)
        open_step = lines and _STEP.match(lines[-1]) and _is_open(lines[-1])
        if open_step and not starts:
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
    return lines


def _is_open(line: str) -> bool:
    return line.rstrip("` ")[-1:] not in ("]", ")", "）", "】")


def _without_last_bracket(text: str) -> str:
    return re.sub(r"[\])）】]\s*`?\s*$", "", text)
