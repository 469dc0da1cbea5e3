"""`ShareSums`: sums over all processes of what each returned by name, whoever returned which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xtune.parallel.world import World

__all__ = ["ShareSums"]


class ShareSums:
    """Adds up shares of sums; a process that has none of a name adds nothing to it.

        process 0   {loss: 1, accuracy: 2}
        process 1   {loss: 3, margin: 5}        ->  {loss: 4, accuracy: 2, margin: 5} on both

    All processes must add up the same list of numbers. So they agree on the names, and do so again
    only where one of them has a new one: a step costs one exchange, and the first one three.

    Args:
        world: the processes.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._names: list[str] = []  # the same on all processes

    def sum(
        self, own: Mapping[str, float], further: Sequence[float]
    ) -> tuple[dict[str, float], list[float]]:
        """Return the sums by name, and those of `further`; all processes call it.

        Args:
            own: what this process has, by name.
            further: numbers to add up besides, equally many on each process.

        Returns:
            Each name that some process has now, in an order that all have alike.
        """
        while True:
            values = [own.get(name, 0.0) for name in self._names]
            there = [float(name in own) for name in self._names]
            news = float(len(own.keys() - set(self._names)))
            *sums, of_news = self._world.sum([*values, *there, *further, news])
            if not of_news:
                break
            of_each = self._world.gather(list(own))
            every = (name for names in (self._names, *of_each) for name in names)
            self._names = list(dict.fromkeys(every))
        count = len(self._names)
        returned = zip(self._names, sums[:count], sums[count : 2 * count], strict=True)
        return {name: value for name, value, times in returned if times}, sums[2 * count :]
