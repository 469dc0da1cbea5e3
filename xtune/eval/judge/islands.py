"""Whether matches connect all models: between islands no rating means anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xtune.errors import UsageError

__all__ = ["islands", "require_connected"]


def islands(names: Sequence[str], pairs: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return the groups of models that matches connect, each in the order of `names`.

    >>> islands(['a', 'b', 'c', 'd'], [('a', 'c'), ('b', 'd')])
    [['a', 'c'], ['b', 'd']]

    Args:
        names: of all models.
        pairs: those that have met.
    """
    leader = {name: name for name in names}
    for one, other in pairs:
        kept, given_up = leader[one], leader[other]
        leader = {name: kept if at == given_up else at for name, at in leader.items()}
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(leader[name], []).append(name)
    return list(groups.values())


def require_connected(names: Sequence[str], pairs: Iterable[tuple[str, str]], why: str) -> None:
    """Refuse models that fall apart into islands.

    Args:
        names: of all models.
        pairs: those that have met.
        why: what those of two islands did not do, for the message.

    Raises:
        UsageError: there is more than one island; names them.
    """
    groups = islands(names, pairs)
    if len(groups) > 1:
        named = " | ".join(", ".join(group) for group in groups)
        raise UsageError(
            f"these models fall apart into {len(groups)} islands that {why}: {named}. Give files "
            "with answers to the same questions, or judge each island by itself"
        )
