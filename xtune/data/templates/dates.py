"""Today's date in a chat template: the same in all of a run, whatever the day it goes on.

Templates ask for it with `strftime_now('%d %b %Y')`, which transformers answers by the clock. A run
tells the day on which it began, by a macro of that name before the template's own text.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache

__all__ = ["dated", "tells_the_date"]

_DIRECTIVES = "aAbBcdDeFgGhHIjkmMnpPrRSTuUVwWxXyYzZ"
_UNPADDED = "deHIjkmMSUWVy"  # as in '%-d'


def tells_the_date(jinja: str) -> bool:
    """Whether a template may write the date."""
    return "strftime_now" in jinja


@lru_cache(maxsize=8)
def dated(jinja: str, day: str) -> str:
    """Return the template with a line before it, after which it is always the same day.

    Args:
        jinja: the template's text.
        day: '2026-11-30'. A template that asks for the time of day gets 00:00.
    """
    at = date.fromisoformat(day)
    asked = [f"%-{letter}" for letter in _UNPADDED] + [f"%{letter}" for letter in _DIRECTIVES]
    answers = "".join(f".replace({form!r}, {at.strftime(form)!r})" for form in asked)
    # No '-' at its end, and a line break, which jinja drops: white space of the template stays
    return (
        f"{{%- macro strftime_now(format) -%}}{{{{ format{answers} }}}}{{%- endmacro %}}\n{jinja}"
    )
