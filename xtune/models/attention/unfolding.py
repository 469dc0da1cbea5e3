"""A row in which documents that begin alike have their beginning once: `Unfolding`.

    documents   p p p a a | p p p b b b       the prompt p, and two answers to it
    row         p p p a a b b b
    places      0 1 2 3 4   0 1 2 5 6 7       where in the row each token of a document stands
    own         0 1 2 3 4 8 9 10              where in the documents each token of the row stands

A token's keys are those before it in its document, so attention is what it is on whole documents:
keys and values are read at `places`, and each query of the row once. All else in a model that
mixes tokens by its attention alone is done once for each token of the row.

Shapes: R tokens of the row, T tokens of the documents, H heads, E head width.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Unfolding"]


@dataclass(frozen=True, slots=True)
class Unfolding:
    """Which tokens of a row make up which documents.

    Attributes:
        places: int64 [T]; documents end to end.
        own: int64 [R]; of what several have the first one's.
        shared: of each document, with how many tokens it begins that another has before it.
    """

    places: Tensor
    own: Tensor
    shared: list[int]

    def of_documents(self, states: Tensor) -> Tensor:
        """Read states of the row, [1, H, R, E], as those of the documents, [1, H, T, E].

        The gradients of a token of several documents are added up.
        """
        _, heads, tokens, width = states.shape
        rows = states.transpose(1, 2).reshape(tokens, heads * width)  # along rows it is quickest
        return rows.index_select(0, self.places).view(1, -1, heads, width).transpose(1, 2)

    def of_row(self, out: Tensor) -> Tensor:
        """Take of the documents' [1, T, H, E] what the row has, [1, R, H, E]."""
        return out.index_select(1, self.own)
