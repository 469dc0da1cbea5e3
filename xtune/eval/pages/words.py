"""Numbers as a reader sees them, in the table, on the page and in Markdown."""

from __future__ import annotations

__all__ = ["change", "of_all_items", "p_in_words", "percent"]

# Begin the names of what a task makes of all its items and what lies between 0 and 1
_SHARES = ("acc", "distinct", "exact_match", "instruction", "pass@", "share")


def percent(value: float | None, *, is_share: bool = True) -> str:
    """Return a share in percent, another number as it is.

    Args:
        value: a share from 0 to 1, or another number; None: not measured.
        is_share: whether it is a share.

    >>> percent(0.4235), percent(12.34567, is_share=False), percent(None)
    ('42.4 %', '12.35', '–')
    """
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if is_share else f"{value:.4g}"


def of_all_items(metric: str, value: float | None) -> str:
    """Return what a task makes of all its items: a share in percent, another number as it is.

    Args:
        metric: its name, which says whether it is a share.
        value: None: not measured.

    >>> of_all_items('acc_stem', 0.3), of_all_items('mean_tokens', 1.0)
    ('30.0 %', '1')
    """
    return percent(value, is_share=metric.startswith(_SHARES))


def change(value: float, *, is_share: bool = True) -> str:
    """Return a difference with its sign; of shares in points of percent.

    Args:
        value: later less earlier.
        is_share: whether it is a difference of shares.

    >>> change(0.0512), change(-1.5, is_share=False)
    ('+5.1', '-1.5')
    """
    return f"{100 * value:+.1f}" if is_share else f"{value:+.3g}"


def p_in_words(value: float) -> str:
    """Return a p-value.

    >>> p_in_words(0.0421), p_in_words(1e-9)
    ('0.042', '<0.001')
    """
    return "<0.001" if value < 1e-3 else f"{value:.3f}"
