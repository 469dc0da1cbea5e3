"""How many bytes a device sends in the collectives of training, and how long its links take.

The ring algorithms, which are optimal in bytes (Patarasuk and Yuan 2009): each of N devices sends
(N - 1) / N of the whole for a reduce-scatter or an all-gather, and twice that for an all-reduce,
which is one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Links", "all_gather_bytes", "all_reduce_bytes", "reduce_scatter_bytes"]


def reduce_scatter_bytes(size: float, devices: int) -> float:
    """Return what one device sends so that each ends with its share of a sum.

    Args:
        size: bytes of the whole sum.
        devices: N.
    """
    return size * (devices - 1) / devices


def all_gather_bytes(size: float, devices: int) -> float:
    """Return what one device sends so that each ends with the whole of `size` bytes.

    Args:
        size: bytes of the whole.
        devices: that take part.
    """
    return size * (devices - 1) / devices


def all_reduce_bytes(size: float, devices: int) -> float:
    """Return what one device sends so that each ends with the whole sum of `size` bytes.

    Args:
        size: bytes of the whole.
        devices: that take part.
    """
    return reduce_scatter_bytes(size, devices) + all_gather_bytes(size, devices)


@dataclass(frozen=True, slots=True)
class Links:
    """Bandwidths, in bytes a second and one direction.

    Attributes:
        intra: of a device to its neighbour in the host.
        inter: of a host to its neighbour, all its network cards together.
        memory: of a device to its host's memory.
        per_host: devices of a host.
    """

    intra: float
    inter: float
    memory: float
    per_host: int = 8

    def ring(self, devices: int) -> float:
        """Return the bandwidth of a ring: its slowest link's.

        The rings that leave a host share its network cards among them, and the bytes too: it is as
        if one ring used all the cards.
        """
        return self.intra if devices <= self.per_host else min(self.intra, self.inter)
