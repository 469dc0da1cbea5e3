"""Sentences and words of a text, by rules of our own, which a result that counts them states.

A sentence ends at '.', '!', '?', '…' or their Chinese forms, with the quotes and brackets behind
them, where a blank or the end of the text follows. It does not end behind an abbreviation ('Dr.',
'e.g.'), behind a single capital ('J. Smith'), or at a '.' before a small letter. A line break ends
none. (IFEval's first authors take NLTK's punkt, whose data come from the network; texts of
ordinary prose get the same count.)
"""

from __future__ import annotations

import re

__all__ = ["sentences_of", "words_of"]

_SHORT = """
mr mrs ms dr prof st jr sr vs etc e.g i.e inc ltd co corp fig no vol pp al gen col sgt capt lt rev
hon ave dept est approx jan feb mar apr jun jul aug sep sept oct nov dec ph.d u.s u.k u.n a.m p.m
"""
_ABBREVIATIONS = frozenset(_SHORT.split())
_ENDS = re.compile(r"[.!?…]+[\"'”’)\]*_]*(?=\s|$)|[。！？]+[”’」』）]*")


def sentences_of(text: str) -> list[str]:
    """Return the sentences of a text; the last one may lack its end.

    Args:
        text: an answer.
    """
    sentences, start = [], 0
    for end in _ENDS.finditer(text):
        before = text[start : end.start()].split()
        last = before[-1].lstrip("\"'(“‘*[") if before else ""
        following = text[end.end() :].lstrip()
        if end[0] == ".":
            short = last.lower() in _ABBREVIATIONS or re.fullmatch(r"(?:[A-Z]\.)*[A-Z]", last)
            more = bool(following)
            if more and (short or following[0].islower()) and last != "I":
                continue
        sentence = text[start : end.end()].strip()
        if re.search(r"\w", sentence):
            sentences.append(sentence)
        start = end.end()
    rest = text[start:].strip()
    if re.search(r"\w", rest):
        sentences.append(rest)
    return sentences


def words_of(text: str) -> list[str]:
    """Return runs of letters, digits and underscores: "don't" is two of them.

    Args:
        text: an answer.
    """
    return re.findall(r"\w+", text)
