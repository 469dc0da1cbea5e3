"""Sequence groups: who is in which, and the exchange within one."""

from __future__ import annotations

import pytest
import torch

from tests.parallel.ranks import on_every_rank
from xtune.errors import ConfigError
from xtune.parallel.sequence import all_to_all, sequence_group
from xtune.parallel.world import World


@pytest.mark.parametrize("world", [World(), World(rank=3, size=4)])
def test_groups_of_one_share_nothing(world):
    group = sequence_group(world, 1)
    assert (group.rank, group.size, group.handle) == (0, 1, None)
    assert group.as_one == World(rank=world.rank, size=world.size)


@pytest.mark.parametrize(("processes", "size"), [(1, 2), (4, 3)])
def test_processes_that_make_no_whole_groups_are_refused_with_the_command(processes, size):
    with pytest.raises(ConfigError, match=f"multiple of it.*NPROC_PER_NODE={size} xtune train"):
        sequence_group(World(size=processes), size)


def test_each_gets_its_block_of_everyones():
    sent = torch.arange(18.0).view(3, 3, 2)  # [sender, receiver, …]
    got = on_every_rank(3, lambda group: all_to_all(sent[group.rank], group))
    torch.testing.assert_close(torch.stack(got), sent.transpose(0, 1))


def test_gradients_travel_back_to_the_senders():
    weights = torch.arange(18.0).view(3, 3, 2)  # [receiver, sender, …]

    def gradient(group):
        blocks = torch.zeros(3, 2, requires_grad=True)
        (all_to_all(blocks, group) * weights[group.rank]).sum().backward()
        return blocks.grad

    torch.testing.assert_close(torch.stack(on_every_rank(3, gradient)), weights.transpose(0, 1))


def test_blocks_need_not_lie_together():
    sent = torch.arange(8.0).view(2, 2, 2)
    got = on_every_rank(2, lambda group: all_to_all(sent[group.rank].T, group))
    assert [row.tolist() for row in got] == [
        [[0, 2], [4, 6]],  # the first rows of the transposed [[0 1] [2 3]] and [[4 5] [6 7]]
        [[1, 3], [5, 7]],
    ]
