"""Requests to rows: what stands where, and who is whose ancestor."""

from __future__ import annotations

from xtune.eval.requests import LikelihoodRequest
from xtune.eval.scoring.layout import Asked, rows_of, texts_of


def laid_out(requests, **settings):
    return list(rows_of(texts_of(requests, range(len(requests))), requests, **settings))


def test_a_tree_stands_depth_first_and_the_last_token_is_only_predicted():
    requests = [
        LikelihoodRequest((1, 2, 4), (8,)),
        LikelihoodRequest((1, 2), (3, 9)),
        LikelihoodRequest((1,), (5, 6)),
    ]
    (row,) = laid_out(requests, budget=100)
    assert row.ids == [1, 2, 3, 4, 5]
    assert row.depth == [0, 1, 2, 2, 1]
    assert row.leave == [5, 4, 3, 4, 5]
    assert row.asked == [Asked(1, (1, 2), (3, 9)), Asked(0, (3,), (8,)), Asked(2, (0, 4), (5, 6))]
    assert list(row.segments()) == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]


def test_a_text_that_goes_on_with_another_one_stands_in_it():
    requests = [LikelihoodRequest((1, 2, 3), (4,)), LikelihoodRequest((1,), (2, 7))]
    (row,) = laid_out(requests, budget=100)
    assert row.ids == [1, 2, 3]
    assert row.leave == [3, 3, 3]
    assert list(row.segments()) == [(0, 3)]
    assert row.asked == [Asked(1, (0, 1), (2, 7)), Asked(0, (2,), (4,))]


def test_a_full_row_is_closed_and_the_next_one_repeats_what_they_share():
    requests = [LikelihoodRequest((1, 2, third), (9,)) for third in (3, 4, 5)]
    rows = laid_out(requests, budget=4)
    assert [row.ids for row in rows] == [[1, 2, 3, 4], [1, 2, 5]]
    assert [row.leave for row in rows] == [[4, 4, 3, 4], [3, 3, 3]]


def test_one_text_alone_may_be_longer_than_a_row():
    (row,) = laid_out([LikelihoodRequest(tuple(range(1, 9)), (9,))], budget=3)
    assert row.ids == list(range(1, 9))


def test_one_by_one_only_the_beginning_of_a_text_shares_its_row():
    requests = [LikelihoodRequest((1, 2), (9,)), LikelihoodRequest((1, 2, 3), (9,))]
    requests.append(LikelihoodRequest((1, 4), (9,)))
    rows = laid_out(requests, budget=100, alone=True)
    assert [row.ids for row in rows] == [[1, 2, 3], [1, 4]]
