"""How near an export must come to `xtune chat`, by the format of its weights.

Measured on SmolLM2-135M, times about three: a small model is the hard case, since larger ones lose
less by the same rounding, and so is one that is sure of little. In answers of SmolLM2 as it was
published Q8_0 changes KL by 2.0e-3, and by 5.1e-3 in llama.cpp, which rounds to 8 bits what meets
packed weights, too; after the tool-call demo's training it is 6.0e-5 and 2.9e-4.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["LIMITS", "Limit", "limit_for"]


class Limit(NamedTuple):
    """What is allowed.

    Attributes:
        top1: percent of places with the same likeliest token, at least.
        kl: nats, the mean at most.
        flip: the likeliest token may change where the reference's gap is below this; None: not
            judged, since in 4 bits even a clear choice may.
    """

    top1: float
    kl: float
    flip: float | None

    @property
    def tie(self) -> float:
        """A lead that the allowed KL alone may turn over; 0 for 4 and 5 bits, where all count.

        Two log-probabilities that move by sqrt(2 KL) each. An untrained model has such leads at
        one place of ten, where top-1 says nothing about an export.
        """
        return 2 * (2 * self.kl) ** 0.5 if self.kl <= _FINE else 0.0


_FINE = 2e-2  # a limit on KL up to which near ties are left out of top-1

_COMPUTED_IN_16_BITS = Limit(95.0, 3e-3, 0.5)
_COMPUTED_IN_8_BITS = 9e-3  # KL
_UNPACKED = ("f32", "f16", "bf16")
LIMITS = {
    "f32": Limit(99.9, 1e-5, 0.01),
    "f16": Limit(99.0, 2e-4, 0.1),
    "bf16": Limit(99.0, 2e-4, 0.1),
    "q8_0": Limit(97.0, 6e-3, 1.0),
    "q5_0": Limit(88.0, 0.12, 3.0),
    "q4_0": Limit(75.0, 0.5, None),
    "int4": Limit(75.0, 0.5, None),
    "pruned": Limit(75.0, 0.5, None),
}


def limit_for(weights: str, *, in_16_bits: bool, in_8_bits: bool = False) -> Limit:
    """Return what is allowed.

    Args:
        weights: a name of LIMITS.
        in_16_bits: whether the reference or the export is computed in bf16 or fp16.
        in_8_bits: whether the reader rounds what meets packed weights to 8 bits.
    """
    own = LIMITS[weights]
    if in_8_bits and weights not in _UNPACKED:
        own = own._replace(kl=own.kl + _COMPUTED_IN_8_BITS)
    if not in_16_bits:
        return own
    more = _COMPUTED_IN_16_BITS
    flip = None if own.flip is None or more.flip is None else max(own.flip, more.flip)
    return Limit(min(own.top1, more.top1), own.kl + more.kl, flip)
