"""A progress bar in a notebook: one output of the cell, redrawn; it needs no widgets."""

from __future__ import annotations

import html
import time
from collections.abc import Callable

from rich.console import Console

__all__ = ["NotebookBar", "notebook_screen"]

_EVERY = 0.25  # seconds between two drawings: each is a message to the browser
Screen = Callable[[str], Callable[[str], None]]


def notebook_screen() -> Screen | None:
    """Return what shows HTML in the cell that runs, and returns how to replace it.

    Returns:
        None outside a notebook; in a terminal's IPython too.
    """
    if not Console().is_jupyter:  # Jupyter, Colab, Databricks
        return None
    from IPython.display import HTML, display

    def show(text: str) -> Callable[[str], None]:
        handle = display(HTML(text), display_id=True)
        return lambda new: handle.update(HTML(new))

    return show


class NotebookBar:
    """Steps done of how many, with a line of numbers.

    Args:
        screen: where it is drawn; see `notebook_screen`.
        total: steps in all.
        done: steps done when it begins.
    """

    def __init__(self, screen: Screen, *, total: int, done: int) -> None:
        self._total = total
        self._drawn = time.monotonic()
        self._latest = _drawing(done, total, "")
        self._replace = screen(self._latest)
        self._is_drawn = True

    def update(self, done: int, numbers: str) -> None:
        """Move on; drawn at once or, where that was just done, with one of the next steps.

        Args:
            done: steps done.
            numbers: of the last step.
        """
        self._latest = _drawing(done, self._total, numbers)
        self._is_drawn = False
        if time.monotonic() - self._drawn >= _EVERY:
            self._draw()

    def stop(self) -> None:
        """Leave the bar as it stands."""
        if not self._is_drawn:
            self._draw()

    def _draw(self) -> None:
        self._replace(self._latest)
        self._drawn, self._is_drawn = time.monotonic(), True


def _drawing(done: int, total: int, numbers: str) -> str:
    return (
        f"<div style='font-family:monospace'>step {done}/{total} "
        f"<progress value='{done}' max='{total}'></progress> {html.escape(numbers)}</div>"
    )
