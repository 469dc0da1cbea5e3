"""Whether an answer is the wanted one, once what does not matter is taken off both.

folded       lower case, no ASCII punctuation              TriviaQA as lm_eval 0.4.13 has it
no_articles  the same without 'the', 'a', 'an'             NQ-open
bare         characters that carry meaning alone           Chinese: CMRC
plain_number 1,234.50 and $1234.50. are 1234.50            GSM8K
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation

__all__ = ["bare", "folded", "matches", "no_articles", "plain_number", "same_number"]

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:The|the|An|an|A|a) ")


def matches(text: str, wanted: Iterable[str], fold: Callable[[str], str]) -> bool:
    """Whether a text is one of those wanted.

    Args:
        text: an answer.
        wanted: any of them is right.
        fold: takes off what does not matter.
    """
    given = fold(text)
    return any(given == fold(each) for each in wanted)


def folded(text: str) -> str:
    """Return a text in lower case without ASCII punctuation and blanks at its ends."""
    return text.lower().translate(_PUNCTUATION).strip()


def no_articles(text: str) -> str:
    """Return `folded`, without English articles."""
    return folded(_ARTICLES.sub("", text))


def bare(text: str) -> str:
    """Return letters and digits of any script alone, in lower case and plain width."""
    plain = unicodedata.normalize("NFKC", text).lower()
    return "".join(each for each in plain if each.isalnum())


def plain_number(text: str) -> str:
    """Return a number without thousands' commas, a dollar sign and a final full stop."""
    return re.sub(r"\.$", "", text.strip().replace(",", "").replace("$", "")).lower()


def same_number(text: str, wanted: str) -> bool:
    """Whether two texts are one number: '18.00' is 18, and '1,000' is 1000.

    Args:
        text: an answer.
        wanted: the right one.
    """
    try:
        return Decimal(plain_number(text)) == Decimal(plain_number(wanted))
    except InvalidOperation:
        return plain_number(text) == plain_number(wanted)
