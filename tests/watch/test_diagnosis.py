"""Who hangs: the one behind, not those that wait for it."""

from __future__ import annotations

import pytest

from xtune.watch.diagnosis import ProcessState, find_hang, gone, unreachable


def sight(rank: int, place: int, silent: float, **more) -> ProcessState:
    fields = {"where": "host a", "progress": f"step 12: place {place}", **more}
    return ProcessState(rank=rank, place=place, silent=silent, **fields)


def test_the_one_behind_hangs_and_those_further_on_wait_for_it():
    verdict = find_hang([sight(0, 97, 601, waits=True), sight(1, 92, 600.5)], 600)
    assert "rank 1 (host a) stands still for 600 s in step 12: place 92; the other" in verdict.text
    assert "rank 0" not in verdict.text
    assert verdict.code == 1


@pytest.mark.parametrize(
    "sights",
    [
        # The one behind is slow, and alive
        [sight(0, 97, 5000, waits=True), sight(1, 92, 3)],
        # One prepares the data, the other waits for its lock in the same phase
        [sight(0, 2, 3, is_slow=True), sight(1, 2, 5000, is_slow=True, waits=True)],
        # One writes a large file: a single call
        [sight(0, 40, 3000, is_slow=True), sight(1, 40, 3000, is_slow=True, waits=True)],
        # Nobody has been still for so long
        [sight(0, 40, 590), sight(1, 40, 590)],
    ],
    ids=["slow", "data", "saving", "soon"],
)
def test_a_healthy_run_is_let_go_on(sights):
    assert find_hang(sights, 600) is None


def test_even_a_slow_phase_may_hang():
    sights = [sight(0, 40, 3601, is_slow=True), sight(1, 40, 3601, is_slow=True, waits=True)]
    assert "rank 0 (host a) stands still for 3601 s" in find_hang(sights, 600).text


def test_where_all_wait_for_each_other_nobody_is_blamed_alone():
    verdict = find_hang([sight(rank, 97, 700, waits=True) for rank in range(2)], 600)
    assert "rank 0 (host a) and rank 1 (host a) stand still" in verdict.text
    assert "is the network between them up?" in verdict.text


def test_many_are_counted():
    sights = [sight(rank, 92, 700) for rank in range(9)] + [sight(9, 97, 700, waits=True)]
    text = find_hang(sights, 600).text
    assert "ranks 0, 1, 2, 3, 4, 5, 6, 7 and 1 more (the first: host a) stand still" in text


def test_lost_processes_are_named_with_what_they_were_in():
    lost = [sight(1, 92, 0), sight(3, 92, 0)]
    assert "rank 1 (host a) and rank 3 (host a) are gone, last seen in step 12" in gone(lost).text
    assert "cannot be reached any more, last seen in step 12" in unreachable(lost[:1], 20).text
    assert "for 20 s nothing came through" in unreachable(lost[:1], 20).text
