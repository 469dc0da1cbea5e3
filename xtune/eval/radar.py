"""Six abilities as a radar, in SVG: what training gave, and what it took.

The axes are OpenCompass' six. A task counts on its axis by how far its score is from guessing to
perfect, `(score - chance) / (1 - chance)`, so that a four-way exam and free answers share a scale;
below guessing is 0. An axis is the mean of its tasks; one without a task is left out, and fewer
than three axes make no picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["ABILITIES", "AbilityScore", "abilities", "radar_svg"]

ABILITIES = ("exam", "language", "knowledge", "understanding", "reasoning", "safety")
_LEAST = 3  # axes
_SIZE, _CENTRE_X, _CENTRE_Y, _RADIUS = (560, 400), 280, 190, 130
_RULE = "0: as guessing, 100: perfect; the mean of each ability's tasks"
_COLOURS = ("#8a8f98", "#2563eb")


@dataclass(frozen=True, slots=True)
class AbilityScore:
    """What a task says of an ability.

    Attributes:
        ability: one of ABILITIES.
        score: of the task, from 0 to 1.
        chance: what guessing would get, from 0 and below 1.
    """

    ability: str
    score: float
    chance: float = 0.0


def abilities(scores: Sequence[AbilityScore]) -> dict[str, float]:
    """Return each ability that has a task, from 0 (guessing, or worse) to 1, in their order.

    Args:
        scores: of the tasks.

    Raises:
        ValueError: an ability that there is not, a score that is no share, or a chance of 1.

    >>> abilities([AbilityScore('exam', 0.625, 0.25), AbilityScore('exam', 0.2, 0.25)])
    {'exam': 0.25}
    """
    parts: dict[str, list[float]] = {}
    for each in scores:
        if each.ability not in ABILITIES:
            raise ValueError(f"no ability {each.ability!r}; there are: {', '.join(ABILITIES)}")
        if not (0 <= each.score <= 1 and 0 <= each.chance < 1):
            raise ValueError(f"a score and a chance are shares of 1: {each}")
        above = (each.score - each.chance) / (1 - each.chance)
        parts.setdefault(each.ability, []).append(max(0.0, above))
    return {name: sum(parts[name]) / len(parts[name]) for name in ABILITIES if name in parts}


def radar_svg(series: Mapping[str, Mapping[str, float]]) -> str | None:
    """Draw one or two models over the abilities that all of them have.

    Args:
        series: by the models' names, as 'before' and 'after', what `abilities` returned.

    Returns:
        An SVG element; None where fewer than three abilities can be shown.
    """
    axes = [name for name in ABILITIES if all(name in shown for shown in series.values())]
    if len(axes) < _LEAST or not series:
        return None
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_SIZE[0]} {_SIZE[1]}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13" aria-label="{escape(_told(series))}">'
    ]
    for ring in (0.25, 0.5, 0.75, 1.0):
        parts.append(_polygon([ring] * len(axes), 'fill="none" stroke="#8884"'))
    for at, name in enumerate(axes):
        x, y = _place(at, len(axes), 1.0)
        parts.append(f'<path d="M{_CENTRE_X} {_CENTRE_Y}L{x} {y}" stroke="#8884"/>')
        x, y = _place(at, len(axes), 1.14)
        side = "middle" if abs(x - _CENTRE_X) < 1 else "start" if x > _CENTRE_X else "end"
        values = " → ".join(f"{100 * shown[name]:.0f}" for shown in series.values())
        parts.append(
            f'<text x="{x}" y="{y}" text-anchor="{side}" fill="currentColor">{name} {values}</text>'
        )
    colours = _COLOURS if len(series) > 1 else _COLOURS[1:]
    for (name, shown), colour in zip(series.items(), colours, strict=True):
        look = f'fill="{colour}" fill-opacity="0.15" stroke="{colour}" stroke-width="2"'
        title = f"<title>{escape(name)}</title>"
        parts.append(_polygon([shown[axis] for axis in axes], look, title))
    for at, (name, colour) in enumerate(zip(series, colours, strict=True)):
        x = _CENTRE_X + (at * 2 - (len(series) - 1)) * 70
        parts.append(
            f'<text x="{x}" y="{_SIZE[1] - 44}" text-anchor="middle" fill="{colour}" '
            f'font-weight="600">{escape(name)}</text>'
        )
    parts.append(
        f'<text x="{_CENTRE_X}" y="{_SIZE[1] - 18}" text-anchor="middle" fill="currentColor" '
        f'opacity="0.7">{_RULE}</text></svg>'
    )
    return "".join(parts)


def _told(series: Mapping[str, Mapping[str, float]]) -> str:
    """The picture in words, for who cannot see it."""
    told = (
        f"{name}: " + ", ".join(f"{axis} {100 * value:.0f}" for axis, value in shown.items())
        for name, shown in series.items()
    )
    return f"Abilities ({_RULE}). " + "; ".join(told)


def _place(at: int, of: int, reach: float) -> tuple[float, float]:
    """Where an axis, from the top and clockwise, is at a share of its length."""
    turn = 2 * math.pi * at / of
    return (
        round(_CENTRE_X + _RADIUS * reach * math.sin(turn), 1),
        round(_CENTRE_Y - _RADIUS * reach * math.cos(turn), 1),
    )


def _polygon(reaches: Sequence[float], look: str, inside: str = "") -> str:
    points = " ".join(
        "{},{}".format(*_place(at, len(reaches), reach)) for at, reach in enumerate(reaches)
    )
    return f'<polygon points="{points}" {look}>{inside}</polygon>'
