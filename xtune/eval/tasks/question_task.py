"""`QuestionTask`: a question after shots of the same kind, with options or without."""

from __future__ import annotations

from abc import abstractmethod

from xtune.eval.tasks.base import Item, Prompt, Task

__all__ = ["QuestionTask"]


class QuestionTask(Task):
    """A task that asks a question after some that are answered, alike in both forms."""

    def prompt(self, item: Item) -> Prompt:
        """Return what is asked about an item.

        Args:
            item: one of `items()`.
        """
        return Prompt(
            question=self.question(item), description=self.description(item), shots=item.shots
        )

    @abstractmethod
    def question(self, item: Item) -> str:
        """Return an item's question with the cue of its answer, as 'Answer:'.

        Args:
            item: one of `items()`.
        """

    @abstractmethod
    def answer(self, item: Item) -> str:
        """Return the right answer as a shot shows it.

        Args:
            item: with its gold.
        """

    def description(self, item: Item) -> str:
        """Return what stands before everything, with the blank lines that part it; often ''.

        Args:
            item: one of `items()`.
        """
        return ""
