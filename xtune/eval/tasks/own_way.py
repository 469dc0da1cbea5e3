"""Tasks that ask in a way of their own: several turns, or tools told as the chat template can."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from xtune.eval.tasks.base import Form, Item, Task, Texts

if TYPE_CHECKING:
    from xtune.eval.subject import Subject

__all__ = ["OwnWay"]


class OwnWay(Task):
    """A task that is given the model itself, and asks it; see `Task`.

    What `respond` returns is kept as any answer is, so it holds all that `score` needs.

    Attributes:
        batch_size: items that are asked together.
    """

    forms: ClassVar[tuple[Form, ...]] = ("chat",)
    batch_size: int = 32

    @abstractmethod
    def respond(self, subject: Subject, items: Sequence[Item]) -> list[Texts]:
        """Ask a few items.

        Args:
            subject: the model, its tokenizer and its stop words.
            items: `batch_size` of them, or fewer; none where only other processes, with which the
                model is shared, have some: `together` passes are made all the same.
        """

    @abstractmethod
    def identity(self, item: Item) -> str:
        """Return all that decides an item's answer, besides the model and the settings."""
