"""Requests to rows: sorted, so that those that begin alike are neighbours, and laid out as trees.

    contexts   a b c    a b d    a e      row    a b c d e      depth   0 1 2 2 1
                                          leave                         5 4 3 4 5

A text's last token is only predicted, so that options of one token cost their context alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from xtune.eval.requests import LikelihoodRequest
from xtune.generation.shared_prefix import common_length

__all__ = ["Asked", "Row", "Text", "rows_of", "texts_of"]


@dataclass(frozen=True, slots=True)
class Text:
    """What a model must read for some requests: context and continuation but for the last token.

    Attributes:
        ids: token ids.
        requests: the indices of those that it answers, in their order.
    """

    ids: tuple[int, ...]
    requests: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """Where in a row a request is answered.

    Attributes:
        request: its index.
        places: in the row, of the token before each one of its continuation.
        targets: the ids of the continuation.
    """

    request: int
    places: tuple[int, ...]
    targets: tuple[int, ...]


@dataclass(slots=True)
class Row:
    """A tree of texts, depth first.

    Attributes:
        ids: token ids.
        depth: of each, how many tokens stand before it in its text.
        leave: of each, where in the row the tokens end that it stands before.
        asked: what is read off.
        texts: those that it holds.
    """

    ids: list[int] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)
    leave: list[int] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)

    def segments(self) -> Iterator[tuple[int, int]]:
        """Yield (start, stop) of stretches without a branch, which are all texts' or none's."""
        start = 0
        for place in range(1, len(self.ids)):
            follows = self.depth[place] == self.depth[place - 1] + 1
            if not follows or self.leave[place] != self.leave[place - 1]:
                yield start, place
                start = place
        if self.ids:
            yield start, len(self.ids)


def texts_of(requests: Sequence[LikelihoodRequest], which: Sequence[int]) -> list[Text]:
    """Return the different texts of requests, sorted by their tokens.

    Args:
        requests: all.
        which: the indices of those to take.
    """
    found: dict[tuple[int, ...], list[int]] = {}
    for index in which:
        request = requests[index]
        found.setdefault(request.context + request.continuation[:-1], []).append(index)
    return [Text(ids, tuple(found[ids])) for ids in sorted(found)]


def rows_of(
    texts: Sequence[Text],
    requests: Sequence[LikelihoodRequest],
    *,
    budget: int,
    alone: bool = False,
) -> Iterator[Row]:
    """Lay texts out as rows.

    Args:
        texts: sorted, as `texts_of` returns them.
        requests: that the texts are of.
        budget: tokens of a row; one text alone may be longer.
        alone: a text shares its row only with one that it is the beginning of.
    """
    row, path = Row(), list[int]()  # path: the places of the last text's tokens
    for text in texts:
        before = row.texts[-1].ids if row.texts else ()
        shared = common_length(before, text.ids)
        too_long = len(row.ids) + len(text.ids) - shared > budget
        if row.texts and (too_long or (alone and shared < len(before))):
            yield _closed(row, path)
            row, path, shared = Row(), [], 0
        for place in path[shared:]:
            row.leave[place] = len(row.ids)
        del path[shared:]
        for token in text.ids[shared:]:
            path.append(len(row.ids))
            row.depth.append(len(path) - 1)
            row.leave.append(-1)
            row.ids.append(token)
        row.texts.append(text)
        for index in text.requests:
            request = requests[index]
            places = tuple(path[len(request.context) - 1 :])
            row.asked.append(Asked(index, places, request.continuation))
    if row.texts:
        yield _closed(row, path)


def _closed(row: Row, path: Sequence[int]) -> Row:
    for place in path:
        row.leave[place] = len(row.ids)
    return row
