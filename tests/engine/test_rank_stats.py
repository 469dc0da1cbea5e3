"""What differs between ranks, put into one sum."""

import math
import time

import torch

from xtune.engine.rank_stats import RankStats, WorkTimer
from xtune.parallel.world import World


def summed(*processes: RankStats) -> RankStats:
    """The all-reduce of what each process gives."""
    size = len(processes)
    padded = [one.padded(World(rank=rank, size=size)) for rank, one in enumerate(processes)]
    return RankStats.of([sum(column) for column in zip(*padded, strict=True)])


def test_a_sum_over_all_gives_each_ones_numbers_by_rank():
    spread = summed(RankStats([0.5], [300], [1.0]), RankStats([0.75], [200], [2.0]))
    assert spread == RankStats([0.5, 0.75], [300, 200], [1.0, 2.0])
    assert spread.metrics == {
        "work_s_min": 0.5,
        "work_s_max": 0.75,
        "slowest_rank": 1,
        "peak_memory_mb_max": 300,
        "fullest_rank": 0,
    }


def test_a_loss_that_is_no_number_stays_with_its_rank():
    whole = [RankStats([1.0], [1.0], [loss]) for loss in (1.0, math.nan, 2.0, math.inf)]
    assert summed(*whole).ranks_without_a_loss == [1, 3]
    assert summed(*whole[::2]).ranks_without_a_loss == []


def test_a_timer_counts_until_it_is_stopped():
    began = time.perf_counter()
    timer = WorkTimer(torch.device("cpu"))
    time.sleep(0.1)
    timer.stop()
    passed = time.perf_counter() - began
    seconds = timer.seconds
    time.sleep(0.1)
    assert timer.seconds == seconds
    assert 0.1 <= seconds <= passed
