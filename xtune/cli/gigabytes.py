"""The gigabytes that a command line names."""

from __future__ import annotations

import re

from xtune.errors import UsageError

__all__ = ["gigabytes"]


def gigabytes(flag: str, text: str) -> float:
    """Return the number in '8GB', '8 GiB' or '8'.

    Args:
        flag: where it was given, for the error.
        text: what was given.

    Raises:
        UsageError: it is no number above 0.
    """
    found = re.fullmatch(r"\s*(\d{1,6}(?:\.\d+)?)\s*(?:G|GB|GiB)?\s*", text, re.I | re.A)
    if not found or not float(found[1]):
        raise UsageError(f"{flag} {text!r}: give a number of GB above 0, as in 8GB")
    return float(found[1])
