"""Rewards of a user's own, for runs on tiny models."""

from __future__ import annotations

import time


def even(answers, *, worth=1.0):
    """Worth is what an answer gets whose first token is even: a random model gives half of them."""
    return [worth if answer.tokens[0] % 2 == 0 else 0.0 for answer in answers]


def low(answers):
    """An eighth of the vocabulary is worth something as a first token."""
    return [float(answer.tokens[0] < 48) for answer in answers]


def half(answers):
    """Nothing to say of answers whose first token is odd."""
    return [1.0 if answer.tokens[0] % 2 == 0 else None for answer in answers]


def text(answers):
    """What no reward may be."""
    return ["good" for _ in answers]


def fails(answers):
    """Raises each time."""
    raise KeyError("level")


def hangs(answers):
    """Does not come back."""
    time.sleep(60)
    return [0.0 for _ in answers]


def equal(answers):
    """Tells nothing apart."""
    return [1.0 for _ in answers]


def differs(answers):
    """Tells nearly all answers apart."""
    return [answer.tokens[0] / 100 + answer.tokens[-1] for answer in answers]
