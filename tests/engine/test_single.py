"""SingleStrategy, and what those of several processes take from it."""

from __future__ import annotations

from xtune.engine.strategies.single import SingleStrategy
from xtune.models.precision import choose_precision
from xtune.parallel.world import World


class OtherMeasuredBf16(World):
    """The second of two processes, where the first has come to bf16."""

    def from_main(self, value):
        return choose_precision("cpu", "bf16")


class Second(SingleStrategy):
    world = OtherMeasuredBf16(rank=1, size=2)


def test_a_process_computes_in_the_format_of_the_main_one():
    assert SingleStrategy(precision="fp32", device="cpu").precision.name == "fp32"
    assert Second(precision="fp32", device="cpu").precision.name == "bf16"
