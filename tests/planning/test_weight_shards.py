"""What strategies divide and send: the ZeRO paper's numbers, a small model by hand, and order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from xtune.config.strategies import SHARDINGS
from xtune.planning.weight_shards import bytes_held, bytes_moved, bytes_sent, sharding_of

PSI = 7.5e9  # parameters of the paper's example
# Mixed precision with Adam, section 3.1: 2 bytes a weight, 2 a gradient, K = 12 of the optimizer
MIXED = {"frozen weights": 0.0, "trained weights": 2 * PSI, "gradients": 2 * PSI}
MIXED |= {"optimizer": 12 * PSI}

# An adapter of 10 parameters on a frozen base of 800 bytes, and what is not divided
SMALL = {"frozen weights": 800.0, "trained weights": 40.0, "gradients": 40.0, "optimizer": 80.0}
SMALL |= {"activations": 500.0, "runtime": 7.0}


@pytest.mark.parametrize(
    ("devices", "strategy", "gigabytes"),
    [
        # figure 1
        (64, "ddp", 120),
        (64, "zero1", 31.4),
        (64, "zero2", 16.6),
        (64, "zero3", 1.9),
        # table 1, the column of 7.5 billion
        (1, "zero1", 120),
        (4, "zero1", 52.5),
        (16, "zero1", 35.6),
        (256, "zero1", 30.4),
        (1024, "zero1", 30.1),
        (4, "zero2", 41.3),
        (16, "zero2", 21.6),
        (256, "zero2", 15.4),
        (1024, "zero2", 15.1),
        (4, "zero3", 30),
        (16, "zero3", 7.5),
        (256, "zero3", 0.47),
        (1024, "zero3", 0.12),
    ],
)
def test_memory_is_the_papers(devices, strategy, gigabytes):
    held, host = bytes_held(SHARDINGS[strategy], MIXED, devices)
    assert sum(held.values()) / 1e9 == pytest.approx(gigabytes, rel=0.03)
    assert host == {}


@pytest.mark.parametrize(
    ("strategy", "times"), [("ddp", 2), ("zero1", 2), ("zero2", 2), ("zero3", 3), ("fsdp", 3)]
)
def test_what_is_sent_is_the_papers(strategy, times):
    """Section 7, in elements of 2 bytes; the paper takes (N - 1) / N for 1."""
    sent = bytes_sent(SHARDINGS[strategy], MIXED, 1024, micro_batches=1) / 2
    assert sent == pytest.approx(times * PSI * 1023 / 1024)


BY_HAND = {  # on 4 devices: weights, adapter, gradients, optimizer, and of the host
    "ddp": (800, 40, 40, 80, 0),
    "zero1": (800, 40, 40, 20, 0),
    "zero2": (800, 40, 10, 20, 0),
    "zero2+offload": (800, 40, 0, 0, 30),
    "zero3": (200, 10, 10, 20, 0),
    "fsdp": (200, 10, 10, 20, 0),
    "zero3+offload": (0, 0, 0, 0, 240),
    "fsdp+offload": (0, 0, 0, 0, 240),
}


@pytest.mark.parametrize("strategy", BY_HAND)
def test_an_adapter_by_hand(strategy):
    held, host = bytes_held(SHARDINGS[strategy], SMALL, 4)
    names = ("frozen weights", "trained weights", "gradients", "optimizer")
    assert (*(held.get(name, 0) for name in names), sum(host.values())) == BY_HAND[strategy]
    assert held["activations"] == 500
    assert held["runtime"] == 7


@pytest.mark.parametrize(
    ("strategy", "sent", "moved"),
    [
        ("ddp", 2 * 40 * 3 / 4, 0),  # once a step
        ("zero1", (40 + 40) * 3 / 4, 0),  # once a step
        ("zero2", (3 * 40 + 40) * 3 / 4, 0),  # gradients 3 times, weights once
        ("zero2+offload", (3 * 40 + 40) * 3 / 4, (3 * 40 + 40) / 4),
        ("zero3", 3 * (40 + 2 * 840) * 3 / 4, 0),  # all 3 times, the frozen base too
        ("zero3+offload", 3 * (40 + 2 * 840) * 3 / 4, 3 * (40 + 2 * 840) / 4),
        ("fsdp", 3 * (40 + 2 * 840) * 3 / 4, 0),
    ],
)
def test_three_micro_batches_by_hand(strategy, sent, moved):
    sharding = SHARDINGS[strategy]
    assert bytes_sent(sharding, SMALL, 4, micro_batches=3) == sent
    assert bytes_moved(sharding, SMALL, 4, micro_batches=3) == moved


def test_with_an_adapter_fsdp_adds_up_whole_gradients_and_exchanges_them_once():
    fsdp = sharding_of("fsdp", with_adapter=True)
    assert bytes_held(fsdp, SMALL, 4)[0]["gradients"] == 40
    assert bytes_held(fsdp, SMALL, 4)[0]["frozen weights"] == 200
    assert bytes_sent(fsdp, SMALL, 4, micro_batches=3) == (40 + 3 * 2 * 840) * 3 / 4
    offloaded = sharding_of("fsdp+offload", with_adapter=True)
    assert "gradients" in bytes_held(offloaded, SMALL, 4)[0]
    for name, sharding in SHARDINGS.items():
        assert sharding_of(name, with_adapter=False) is sharding
        if not name.startswith("fsdp"):
            assert sharding_of(name, with_adapter=True) is sharding


@given(
    strategy=some.sampled_from(sorted(SHARDINGS)),
    devices=some.integers(1, 1023),
    sizes=some.lists(
        some.floats(0, 1e12, allow_subnormal=False), min_size=len(SMALL), max_size=len(SMALL)
    ),
    micro_batches=some.integers(1, 64),
)
def test_more_devices_never_hold_more_each_nor_send_less(strategy, devices, sizes, micro_batches):
    sharding = SHARDINGS[strategy]
    components = dict(zip(SMALL, sizes, strict=True))
    before, after = (bytes_held(sharding, components, n) for n in (devices, devices + 1))
    for old, new in zip(before, after, strict=True):
        assert old.keys() == new.keys()
        assert all(new[name] <= old[name] for name in old)
    sent = [bytes_sent(sharding, components, n, micro_batches) for n in (1, devices, devices + 1)]
    assert sent[0] == 0
    assert sent[1] <= sent[2] * (1 + 1e-12)


@given(
    devices=some.integers(1, 1024),
    sizes=some.lists(
        some.floats(0, 1e12, allow_subnormal=False), min_size=len(SMALL), max_size=len(SMALL)
    ),
)
def test_each_stage_holds_no_more_than_the_one_before(devices, sizes):
    components = dict(zip(SMALL, sizes, strict=True))
    totals = [
        sum(bytes_held(SHARDINGS[name], components, devices)[0].values())
        for name in ("ddp", "zero1", "zero2", "zero3", "zero3+offload")
    ]
    assert all(b <= a * (1 + 1e-12) for a, b in zip(totals, totals[1:], strict=False))


@given(devices=some.integers(1, 1024))
def test_nothing_is_lost(devices):
    """Over all devices and their hosts every byte of the state is somewhere, at least once."""
    for sharding in SHARDINGS.values():
        held, host = bytes_held(sharding, SMALL, devices)
        for name, size in SMALL.items():
            assert devices * (held.get(name, 0) + host.get(name, 0)) >= size * (1 - 1e-12)
