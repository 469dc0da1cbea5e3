"""Sequence groups: who is in which, and the exchange within one."""

from __future__ import annotations

import pytest
import torch

from tests.parallel.ranks import on_every_rank
from xtune.errors import ConfigError
from xtune.parallel.sequence import UNSHARED, all_to_all, group_sum, sequence_group
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


def test_every_process_gets_the_sum():
    parts = torch.tensor([[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]])
    for got in on_every_rank(3, lambda group: group_sum(parts[group.rank], group)):
        assert got.tolist() == [111.0, 222.0]
    assert parts.tolist() == [[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]]


def test_one_alone_keeps_what_it_has():
    part = torch.ones(2, requires_grad=True)
    assert group_sum(part, UNSHARED) is part


SHARES = {
    "each returns its share of what all compute": lambda group, loss: loss / group.size,
    "the first alone returns it": lambda group, loss: loss * (group.rank == 0),
    "shares of any size": lambda group, loss: loss * [0.2, 0.8][group.rank],
}


@pytest.mark.parametrize("share", SHARES.values(), ids=lambda share: "")
def test_the_gradient_of_a_sum_is_that_of_one_process(share):
    parts = [torch.tensor([0.3, -1.0]), torch.tensor([0.5, 2.0])]

    def loss_of(sums):  # of no part alone: a preference between two documents
        return -torch.nn.functional.logsigmoid(2.0 * (sums[0] - sums[1]))

    whole = [part.clone().requires_grad_() for part in parts]
    expected = torch.autograd.grad(loss_of(whole[0] + whole[1]), whole)

    def gradient(group):
        part = parts[group.rank].clone().requires_grad_()
        share(group, loss_of(group_sum(part, group))).backward()
        return part.grad

    for grad, right in zip(on_every_rank(2, gradient), expected, strict=True):
        torch.testing.assert_close(grad, right)


def test_a_view_is_summed_and_goes_backward():
    parts = torch.arange(8.0).view(2, 2, 2)

    def run(group):
        part = parts[group.rank].clone().requires_grad_()
        found = group_sum(part.T, group)
        (found * torch.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
        return found.tolist(), part.grad.tolist()

    for found, grad in on_every_rank(2, run):
        assert found == [[4.0, 8.0], [6.0, 10.0]]
        assert grad == [[2.0, 6.0], [4.0, 8.0]]  # twice the weights, transposed
