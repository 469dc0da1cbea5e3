"""The smallest GPU that so much memory fits: the sizes they are sold with, the share left free."""

from __future__ import annotations

__all__ = ["fits", "largest_card", "smallest_card"]

_CARDS = (4, 6, 8, 12, 16, 24, 32, 40, 48, 80, 96, 141)  # GB of memory that GPUs are sold with
_ROOM = 0.9  # of a card: an estimate is true to 10 %, and memory is lost in fragments


def fits(gib: float, card: float) -> bool:
    """Whether so many GiB are likely to fit a GPU sold with `card` GB: 10 % of it are left free.

    Args:
        gib: that a run needs.
        card: GB that the GPU is sold with.
    """
    return gib <= _ROOM * card


def smallest_card(gib: float) -> int | None:
    """Return the GB of the smallest GPU that so many GiB are likely to fit, or None.

    >>> smallest_card(8.8), smallest_card(20.5), smallest_card(200)
    (12, 24, None)
    """
    return next((card for card in _CARDS if fits(gib, card)), None)


def largest_card() -> int:
    """Return the GB of the largest GPU that `smallest_card` knows."""
    return _CARDS[-1]
