"""What a token is within its document, in a whole row and in the slices of one."""

from __future__ import annotations

import torch

from tests.models.packs import pack, random_documents
from tests.parallel.ranks import on_every_rank
from xtune.parallel.slices import counted_before, document_numbers, next_tokens, slice_of

LENGTHS = [3, 1, 6, 2]


def by_hand(documents):
    numbers, before, following = [], [], []
    for number, (ids, labels) in enumerate(documents):
        trained = (labels != -100).tolist()
        numbers += [number] * len(ids)
        before += [sum(trained[:at]) for at in range(len(ids))]
        following += [*ids.tolist()[1:], -100]
    return numbers, before, following


def found(batch):
    mask = batch.labels[0] != -100
    return (
        document_numbers(batch).tolist(),
        counted_before(mask, batch).tolist(),
        next_tokens(batch).tolist(),
    )


def test_of_a_whole_row():
    documents = random_documents(LENGTHS)
    assert found(pack(documents)) == by_hand(documents)


def test_of_slices_whose_bounds_are_anywhere():
    documents = random_documents(LENGTHS)
    right = by_hand(documents)
    for size in (2, 4, 5):
        parts = on_every_rank(size, lambda group: found(slice_of(pack(documents), group)))
        for place in range(3):
            whole = [value for part in parts for value in part[place]]
            padding = whole[12:]
            assert whole[:12] == right[place]
            assert place == 1 or set(padding) <= {len(LENGTHS), -100}


def test_a_document_that_begins_within_a_slice_is_counted_from_its_own_beginning():
    ids = torch.arange(3, 9)
    labels = torch.tensor([4, 5, 6, 7, 8, -100])
    batch = pack([(ids, labels), (ids, labels)])
    parts = on_every_rank(3, lambda group: found(slice_of(batch, group))[1])
    assert sum(parts, []) == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]
