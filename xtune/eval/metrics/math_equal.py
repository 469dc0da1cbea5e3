r"""Whether two answers in LaTeX are one: letter for letter once laid out alike, or by math-verify.

`laid_out` is enough where both are written alike; math-verify, of the extra `eval`, knows that
\frac{1}{2} is 0.5, and sets, intervals and equations.
"""

from __future__ import annotations

import re
import threading

from xtune.eval.extra_package import extra_package

__all__ = ["equal_by_math_verify", "laid_out"]

_SECONDS = 5
_WORDS = ("\\left", "\\right", "\\displaystyle", "\\limits", "\\,", "\\!", "\\;", "\\:", "\\ ", "~")
_UNITS = re.compile(
    r"\\(?:text|mbox|mathrm)\{\s*(?:cm|m|km|mm|inches|feet|ft|units?|square units|degrees|dollars|"
    r"cents|hours|minutes|seconds|mph|meters|points|ways|students)\s*\.?\s*\}(?:\^\{?\d\}?)?"
)


def laid_out(answer: str) -> str:
    r"""Return LaTeX without what changes its looks alone, units, and thousands' commas.

    >>> laid_out(r'$x = \dfrac12 \text{ cm}$.')
    '\\frac{1}{2}'
    """
    text = answer.strip().strip("$").strip()
    text = re.sub(r"\$?\.$", "", text).strip("$")
    text = _UNITS.sub("", text)
    for word in _WORDS:
        text = text.replace(word, "")
    text = re.sub(r"\\[dtc]frac", r"\\frac", text)
    text = re.sub(r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\frac\s*(\d)\s*\{", r"\\frac{\1}{", text)
    text = re.sub(r"\\sqrt\s*(\w)", r"\\sqrt{\1}", text)
    text = re.sub(r"\\(?:text|mbox|mathrm|textbf)\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\^\{?\\circ\}?|\\%|%|\\\$|\\degree", "", text)
    text = re.sub(r"\s+", "", text)
    text = re.sub(r"(?<=\d),(?:\\!)?(?=\d{3}(?!\d))", "", text) if _is_number(text) else text
    text = re.sub(r"^[a-zA-Z]\w?=", "", text)
    text = re.sub(r"(?<=\d)\.0+$", "", text)
    return re.sub(r"^(-?)\.(?=\d)", r"\g<1>0.", text)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?", text) is not None


def equal_by_math_verify(answer: str, wanted: str) -> bool:
    """Whether math-verify takes two formulas for one.

    Args:
        answer: LaTeX, without a box or dollar signs.
        wanted: likewise.

    Raises:
        UsageError: math-verify is not installed.
    """
    package = extra_package("math_verify", "comparing formulas")
    # its limit is a signal, which only the main thread can have
    main = threading.current_thread() is threading.main_thread()
    limit = _SECONDS if main else None
    gold, given = (package.parse(f"${text}$", parsing_timeout=limit) for text in (wanted, answer))
    return bool(package.verify(gold, given, timeout_seconds=limit))
