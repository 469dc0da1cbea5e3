"""Read a judge's verdict out of what it wrote, and tell whether an answer imitates one.

Nothing is evaluated: numbers are read by `float`. What is not in the form that was asked for, but
plain nevertheless ('8/10', 'Answer 1: 8', full-width digits), is read and marked as repaired.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["FORMS", "TIE", "Verdict", "imitates_verdict", "preference", "read_verdict"]

TIE = 0.1  # scores that differ by no more are a tie, as in FastChat
_LOWEST, _HIGHEST = 1.0, 10.0

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_PLAIN_WIDTH = str.maketrans(
    "０１２３４５６７８９．，（）／：【】［］", "0123456789.,()/:[][]"
)  # fmt: skip
_THOUGHT = re.compile(r"^.*</think>", re.DOTALL)
_LABEL = re.compile(
    r"(?:scores?|ratings?|得分|评分|分数)?(?:\s*(?:of|for))?\s*"
    r"(?:assistant|answer|code|response|model|答案|代码|回答|助手|模型)\s*([12ab一二])"
    r"\s*(?:的?(?:得分|评分|分数)|得|'s score|score)?\s*[:=是为]?",
    re.IGNORECASE,
)
_GENERAL_LABEL = re.compile(
    r"(?:the )?(?:scores?|ratings?|得分|评分|分数)\s*(?:are|[:=是为])", re.I
)
_OUT_OF_TEN = re.compile(rf"({_NUMBER})\s*(?:/\s*10(?:\.0)?(?!\d)|分)")
_TWO = re.compile(rf"({_NUMBER})(?:[ \t]+|[ \t]*,[ \t]*)({_NUMBER})")
_SCORE = r"(?:10|[1-9])(?:\.\d+)?"
_TWO_ANYWHERE = re.compile(rf"(?<![\d.,:/-]){_SCORE} {_SCORE}(?![\d:/%]|\.\d)")
_TUPLE = re.compile(rf"\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*,?\s*\)")
_WINNER = re.compile(r"\[\[\s*([ABC])\s*\]\]")
_RATING = re.compile(rf"\[\[\s*({_NUMBER})\s*\]\]")
_SINGLE_WINNER = re.compile(r"^\W*(?:verdict|winner|结论)?\W*\[([ABC])\]\W*$", re.IGNORECASE)
_SINGLE_RATING = re.compile(rf"\[({_NUMBER})\]")
_PREFERENCE = {"A": 1.0, "B": 0.0, "C": 0.5}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge said of one answer, or of two.

    Attributes:
        scores: of each answer in the order in which it saw them, 1 to 10; () where it only said
            which is better.
        preference: 1 if the first answer is better, 0 if the second is, 0.5 if neither; of one
            answer alone it says nothing.
        repaired: it was not quite in the form that was asked for.
    """

    scores: tuple[float, ...] = ()
    preference: float = 0.5
    repaired: bool = False


def preference(first: float, second: float) -> float:
    """Return 1 if the first score is higher, 0 if the second is, 0.5 where they differ by <= TIE.

    Args:
        first: the score of the first answer.
        second: that of the second, on the same scale.

    >>> preference(8, 7), preference(7, 8), preference(7, 7.1)
    (1.0, 0.0, 0.5)
    """
    if abs(first - second) <= TIE + 1e-9:
        return 0.5
    return 1.0 if first > second else 0.0


def read_verdict(form: str, text: str) -> Verdict | None:
    """Read a verdict.

    Args:
        form: one of FORMS.
        text: all that the judge wrote. A thought in <think> tags at its beginning is left out.

    Returns:
        The verdict; None if there is none in this form, or a score is not from 1 to 10.
    """
    return FORMS[form](_THOUGHT.sub("", text).strip())


def imitates_verdict(form: str, answer: str) -> bool:
    """Tell whether an answer that is to be judged contains what a verdict looks like.

    Args:
        form: one of FORMS, of the verdict that the judge is asked for.
        answer: the answer's text.
    """
    plain = answer.translate(_PLAIN_WIDTH)
    if form == "(a, b)":
        return any(_in_range(*map(float, pair)) for pair in _TUPLE.findall(plain))
    if form == "[[A]]":
        return _WINNER.search(plain) is not None
    if form == "[[rating]]":
        return _RATING.search(plain) is not None
    lines = map(str.strip, plain.splitlines())
    return bool(_TWO_ANYWHERE.search(plain)) or any(_two_scores(line) for line in lines)


def _first_line(text: str) -> Verdict | None:
    line = text.partition("\n")[0].strip()
    if found := _two_scores(line):
        return _scored(found, repaired=False)
    plain = line.translate(_PLAIN_WIDTH)
    plain = _OUT_OF_TEN.sub(r"\1", plain)
    named = "".join(_LABEL.findall(plain)).lower()
    if named not in ("", "12", "ab", "一二"):  # the second one's score came first
        return None
    plain = _GENERAL_LABEL.sub(" ", _LABEL.sub(" ", plain))
    plain = re.sub(r"[*_`()\[\];|、]|and|和|与|(?<!\d)\.|\.(?!\d)", " ", plain).strip(" ,")
    plain = re.sub(r"\s*,\s*|\s+", " ", plain)
    return _scored(_two_scores(plain), repaired=True)


def _two_scores(line: str) -> tuple[float, float] | None:
    """The two scores that a line consists of; ASCII digits only."""
    found = _TWO.fullmatch(line) if line.isascii() else None
    return (float(found[1]), float(found[2])) if found and _in_range(*found.groups()) else None


def _in_range(*values: object) -> bool:
    return all(_LOWEST <= float(str(value)) <= _HIGHEST for value in values)


def _scored(scores: tuple[float, ...] | None, *, repaired: bool) -> Verdict | None:
    if scores is None or not _in_range(*scores):
        return None
    better = preference(*scores) if len(scores) == 2 else 0.5
    return Verdict(scores, better, repaired)


def _last_tuple(text: str) -> Verdict | None:
    plain = text.translate(_PLAIN_WIDTH)
    found = list(_TUPLE.finditer(_OUT_OF_TEN.sub(r"\1", plain)))
    if not found:
        return None
    exact = found[-1][0] in text and found[-1][0].isascii()
    return _scored((float(found[-1][1]), float(found[-1][2])), repaired=not exact)


def _last_winner(text: str) -> Verdict | None:
    found = _WINNER.findall(text)
    repaired = len(set(found)) > 1
    if not found:
        plain = text.translate(_PLAIN_WIDTH)
        last_line = plain.strip().rpartition("\n")[2]
        found = _WINNER.findall(plain) or _SINGLE_WINNER.findall(last_line.strip())
        repaired = True
    return Verdict((), _PREFERENCE[found[-1].upper()], repaired) if found else None


def _last_rating(text: str) -> Verdict | None:
    found = _RATING.findall(text)
    repaired = len(set(found)) > 1
    if not found:
        plain = _OUT_OF_TEN.sub(r"\1", text.translate(_PLAIN_WIDTH))
        found = _RATING.findall(plain) or _SINGLE_RATING.findall(plain)
        repaired = True
    return _scored((float(found[-1]),), repaired=repaired) if found else None


# What a verdict looks like -> its reader; also the values of a prompt's `output_format`.
FORMS: dict[str, Callable[[str], Verdict | None]] = {
    "a b": _first_line,
    "(a, b)": _last_tuple,
    "[[A]]": _last_winner,
    "[[rating]]": _last_rating,
}
