"""`Vector`: what a name in `per_token` or `per_document` of a Sample and of a Batch stands for.

    kind       in a Sample           in a Batch
    label      [L], a token each     [1, T], moved to where the token's label stands
    token      [L], a token each     [1, T], where the token stands
    document   one number            [S]

A part of a toolkit or a run that needs a new one declares it, once, where it is made or read:

    declare(Vector("margin", "document"))

The token cache, collate, the slices of a row, rounded rows and fillers carry it from then on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, Self

from xtune.errors import DataError, did_you_mean

if TYPE_CHECKING:  # `xtune --help` needs no numpy
    import numpy as np

__all__ = ["VECTORS", "PerDocument", "PerToken", "Vector", "declare", "require_declared"]


@dataclass(frozen=True, slots=True)
class Vector:
    """One number for each token, or for each document.

    Attributes:
        name: in Python and of its file in the token cache.
        kind: see above.
        dtype: as numpy and torch both call it.
        neutral: what stands for a sample that has none, where a document's last token has no
            label, and in padding.
    """

    name: str
    kind: Literal["label", "token", "document"]
    dtype: str = "float32"
    neutral: float = 0

    def neutrals(self, tokens: int) -> np.ndarray:
        """Return what stands for a sample that has none: [tokens], or [1] if of a document."""
        import numpy as np

        return np.full(1 if self.kind == "document" else tokens, self.neutral, dtype=self.dtype)


VECTORS: dict[str, Vector] = {}  # all that are declared
_FILES_OF_THE_CACHE = ("ids", "trained", "offsets", "report")


def declare(vector: Vector) -> Vector:
    """Make a vector known to all that carry it.

    Args:
        vector: under a name that nothing else has; declaring it again changes nothing.

    Raises:
        DataError: the name is taken, or can be none.
    """
    if not vector.name.isidentifier() or vector.name in _FILES_OF_THE_CACHE:
        raise DataError(
            f"no vector can be called {vector.name!r}: give a Python name other than "
            f"{', '.join(_FILES_OF_THE_CACHE)}, which are files of the token cache"
        )
    if VECTORS.setdefault(vector.name, vector) != vector:
        raise DataError(
            f"{vector} is declared, but {VECTORS[vector.name]} has that name already: give it "
            "another"
        )
    return vector


def require_declared(per_token: Iterable[str], per_document: Iterable[str]) -> None:
    """Check names where they enter a Sample or a Batch.

    Args:
        per_token: names of vectors with a number for each token.
        per_document: names of vectors with a number for each document.

    Raises:
        DataError: nothing of that name is declared, or it is of the other kind.
    """
    for place, given in (("per_token", per_token), ("per_document", per_document)):
        for name in given:
            if name not in VECTORS:
                raise DataError(
                    f"{place} has {name!r}, which is not declared"
                    f"{did_you_mean(name, list(VECTORS)) or '.'} Declared are: "
                    f"{', '.join(sorted(VECTORS))}. Declare your own with xtune.vectors.declare"
                )
            if (VECTORS[name].kind == "document") != (place == "per_document"):
                raise DataError(
                    f"{place} has {name!r}, which is declared as kind={VECTORS[name].kind!r}: it "
                    f"belongs into {'per_token' if place == 'per_document' else 'per_document'}"
                )


class _Named(dict[str, Any]):
    """Vectors by name; one that is asked for and is not there is named, with who asks for it."""

    place: ClassVar[str]

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Return the same vectors; an object of this class itself."""
        return given if isinstance(given, cls) else cls(given)

    def __missing__(self, name: str) -> NoReturn:
        """Raise a DataError; `get` and `in` are a dict's."""
        asker = sys._getframe(1).f_code
        has = f"it has: {', '.join(sorted(self))}" if self else "it has none"
        if name in VECTORS:
            kind = "document" if VECTORS[name].kind == "document" else "token"
            declared = f"Whoever makes the samples gives each its own, a number for each {kind}"
        else:
            near = did_you_mean(name, list(VECTORS)) or "."
            declared = (
                f"Nothing declares it{near} Declare it (xtune.vectors.declare), and whoever makes "
                "the samples gives each its own"
            )
        raise DataError(
            f"{asker.co_qualname} ({asker.co_filename}) asks for {self.place}[{name!r}], which "
            f"this batch has not; {has}. {declared}: Sample(…, {self.place}={{{name!r}: …}}). A "
            f"loop may put it into batch.{self.place}; Algorithm.example does for estimates"
        )


class PerToken(_Named):
    """What `per_token` of a Sample and of a Batch is: a dict whose missing names are explained."""

    place = "per_token"


class PerDocument(_Named):
    """What `per_document` of a Sample and of a Batch is: the same for numbers of documents."""

    place = "per_document"


declare(Vector("weights", "label", neutral=1))
# The number of a sample within its group, the first's is 0: a pair's chosen answer has 0, the
# rejected one 1. Samples without one are groups of their own; see xtune/data/groups.py.
declare(Vector("side", "document", dtype="int64"))
# The place of an answer among those of its prompt, 0 the best; equal ranks make no pair. Without it
# an answer's place is its side.
declare(Vector("rank", "document", dtype="int64", neutral=-1))
# What an answer is worth by the data: a pair's margin is its better answer's minus the other's.
declare(Vector("score", "document"))
# How probable it is that a pair's first answer is the better one; both answers have the number.
declare(Vector("soft_label", "document", neutral=1))
# Whether an answer is safe, 1, or unsafe, -1; 0 where the data do not tell.
declare(Vector("safe", "document"))
# Whether an answer that was judged alone is good, 1, or bad, 0.
declare(Vector("desirable", "document", dtype="int64", neutral=-1))
