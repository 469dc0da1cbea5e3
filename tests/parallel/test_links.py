"""Bytes and bandwidths of rings, by hand."""

import pytest

from xtune.parallel.links import Links, all_gather_bytes, all_reduce_bytes, reduce_scatter_bytes


def test_a_ring_by_hand():
    # 4 devices, 100 bytes: 3 rounds of 25, and for an all-reduce 3 more
    assert reduce_scatter_bytes(100, 4) == all_gather_bytes(100, 4) == 75
    assert all_reduce_bytes(100, 4) == 150


@pytest.mark.parametrize("collective", [reduce_scatter_bytes, all_gather_bytes, all_reduce_bytes])
def test_alone_there_is_nothing_to_send(collective):
    assert collective(100, 1) == 0


def test_the_slowest_link_of_a_ring_counts():
    links = Links(intra=200.0, inter=50.0, memory=20.0, per_host=8)
    assert [links.ring(devices) for devices in (1, 8, 9, 1024)] == [200, 200, 50, 50]
    assert Links(intra=10.0, inter=50.0, memory=20.0, per_host=8).ring(16) == 10
