"""Named vectors: whoever declares one finds it in the batch, and nothing in between knows of it."""

from __future__ import annotations

import json
import zlib
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from xtune.data.cache import TokenCache, open_cache
from xtune.data.collate import collate, filler
from xtune.data.loader import StepLoader
from xtune.data.pack import pack
from xtune.data.report import DataReport
from xtune.errors import DataError
from xtune.models.shape_rounding import with_rounded_length
from xtune.parallel.sequence import SequenceGroup
from xtune.parallel.slices import slice_of, sum_by_document
from xtune.parallel.world import World
from xtune.structures import Batch, Sample
from xtune.vectors import VECTORS, Vector, declare

NEW = [
    Vector("expected", "label", neutral=-0.5),  # as a reference model's log-probabilities are
    Vector("kind_of_token", "token", dtype="int64", neutral=9),
    Vector("margin", "document"),
]


@pytest.fixture(autouse=True)
def new_vectors():
    for vector in NEW:
        declare(vector)
    yield
    for vector in NEW:
        VECTORS.pop(vector.name, None)


def sample(*ids, **vectors):
    """A document, all of it trained but its first token."""
    ids = np.array(ids, dtype=np.int32)
    labels = np.append(np.int32(-100), ids[1:])
    of_document = {name: given for name, given in vectors.items() if name == "margin"}
    of_tokens = {
        name: np.array(given, dtype=VECTORS[name].dtype)
        for name, given in vectors.items()
        if name not in of_document
    }
    return Sample(ids, labels, of_tokens, of_document)


def three():
    """The second has all, the others some: nothing is written of a vector before it comes."""
    return [
        sample(11, 12, 13, margin=2.5),
        sample(*(21, 22), expected=[0, -1.5], kind_of_token=[4, 5], weights=[1, 3], margin=-1),
        sample(31, 32, 33, 34, expected=[0, -2, -3, -4]),
    ]


EXPECTED = [-0.5, -0.5, -0.5, -1.5, -0.5, -2, -3, -4, -0.5]
KINDS = [9, 9, 9, 4, 5, 9, 9, 9, 9]
WEIGHTS = [1, 1, 1, 3, 1, 1, 1, 1, 1]
MARGINS = [2.5, -1, 0]


def assert_those_of_three(batch):
    assert sorted(batch.per_token) == ["expected", "kind_of_token", "weights"]
    assert batch.per_token["expected"].tolist() == [EXPECTED]
    assert batch.per_token["kind_of_token"].tolist() == [KINDS]
    assert batch.weights.tolist() == [WEIGHTS]
    assert batch.per_token["expected"].dtype == batch.weights.dtype == torch.float32
    assert batch.per_token["kind_of_token"].dtype == torch.int64
    assert {name: column.tolist() for name, column in batch.per_document.items()} == {
        "margin": MARGINS
    }


def test_collate_lays_them_where_their_tokens_or_labels_stand():
    assert_those_of_three(collate(three()))


def test_a_batch_of_samples_without_any_has_none():
    batch = collate([sample(1, 2), sample(3)])
    assert (batch.per_token, batch.per_document) == ({}, {})


def test_the_cache_keeps_them_and_has_a_file_for_each(own_cache):
    cache = open_cache("key", lambda: [three()[:1], three()[1:]], dict)
    written = {path.name: path.read_bytes() for path in (own_cache / "key").glob("*.bin")}
    assert sorted(written) == [
        *("expected.bin", "ids.bin", "kind_of_token.bin", "margin.bin", "trained.bin"),
        "weights.bin",
    ]
    assert np.frombuffer(written["margin.bin"], np.float32).tolist() == MARGINS
    assert np.frombuffer(written["kind_of_token.bin"], np.int64).tolist() == KINDS
    # Not moved: the weight of the token 22
    assert np.frombuffer(written["weights.bin"], np.float32).tolist() == [1, 1, 1, 1, 3, 1, 1, 1, 1]
    assert_those_of_three(collate([cache.sample(n) for n in range(3)]))


def test_damage_to_a_vector_is_found(own_cache):
    open_cache("key", lambda: [three()], dict)
    path = own_cache / "key" / "margin.bin"
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(ValueError, match=r"margin\.bin does not have the checksum"):
        TokenCache(own_cache / "key")


def test_a_vector_that_is_declared_anew_is_written_anew(own_cache, caplog):
    open_cache("key", lambda: [three()], dict)
    del VECTORS["margin"]
    declare(Vector("margin", "document", dtype="int32"))  # of as many bytes
    samples = three()
    samples[0].per_document["margin"] = 2
    cache = open_cache("key", lambda: [samples], dict)
    assert "margin.bin was written when 'margin' was declared otherwise" in caplog.text
    assert [cache.sample(n).per_document["margin"] for n in range(3)] == [2, -1, 0]


def test_a_cache_of_before_there_were_vectors_is_read_as_it_is(tmp_path):
    """What was written of weighted samples then, byte for byte."""
    ids, offsets = np.arange(5, dtype=np.int32), np.array([0, 2, 5], dtype=np.int64)
    trained, weights = bytes([0, 1, 0, 1, 1]), np.array([1, 2, 1, 1, 0.5], dtype=np.float32)
    (tmp_path / "ids.bin").write_bytes(ids.tobytes())
    (tmp_path / "trained.bin").write_bytes(trained)
    (tmp_path / "weights.bin").write_bytes(weights.tobytes())
    np.save(tmp_path / "offsets.npy", offsets)
    names = ("ids.bin", "trained.bin", "offsets.npy", "weights.bin")
    checksums = {name: zlib.crc32((tmp_path / name).read_bytes()) for name in names}
    own = zlib.crc32(json.dumps([{}, checksums], sort_keys=True).encode())
    meta = {"report": {}, "checksums": checksums, "own_checksum": own}
    (tmp_path / "report.json").write_text(json.dumps(meta))
    cache = TokenCache(tmp_path)
    assert [cache.sample(n).weights.tolist() for n in (0, 1)] == [[1, 2], [1, 1, 0.5]]
    assert cache.sample(1).labels.tolist() == [-100, 3, 4]
    assert cache.sample(1).per_document == {}


def test_each_slice_has_its_part_and_every_document():
    batch = collate(three())
    slices = [slice_of(batch, SequenceGroup(rank=rank, size=2)) for rank in range(2)]
    rows = {
        name: torch.cat([one.per_token[name] for one in slices], dim=1).tolist()
        for name in batch.per_token
    }
    assert rows == {
        "expected": [[*EXPECTED, -0.5]],
        "kind_of_token": [[*KINDS, 9]],
        "weights": [[*WEIGHTS, 1]],
    }
    assert [one.per_document["margin"].tolist() for one in slices] == [MARGINS, MARGINS]
    assert slices[0].per_token["kind_of_token"].dtype == torch.int64


def test_a_slice_leaves_no_field_of_a_batch_behind():
    batch = replace(collate(three(), range(3)), is_filler=True)
    (one,) = [slice_of(batch, SequenceGroup(rank=0, size=3))]  # 9 tokens: no padding
    sliced = {"input_ids", "position_ids", "labels", "per_token"}
    for name in {field.name for field in fields(Batch)} - sliced:
        assert getattr(one, name) is getattr(batch, name), name


def test_a_filler_has_those_of_its_token_and_document():
    one = filler(collate(three()))
    assert {name: values.tolist() for name, values in one.per_token.items()} == {
        "expected": [[-0.5]],
        "kind_of_token": [[9]],
        "weights": [[1]],
    }
    assert one.per_document["margin"].tolist() == [2.5]


def test_they_go_to_the_device():
    moved = collate(three()).to("meta")
    given = [*moved.per_token.values(), *moved.per_document.values()]
    assert [values.device.type for values in given] == ["meta"] * 4


class Items:
    """Packs of what a cache holds, as a data set is."""

    def __init__(self, cache):
        self.report = DataReport()
        self._cache = cache
        self._packs = pack(cache.lengths, length=7)

    def __len__(self):
        return len(self._packs)

    def batch(self, indices):
        chosen = [number for index in indices for number in self._packs[index]]
        return collate([self._cache.sample(number) for number in chosen], chosen)

    def item_tokens(self, index):
        return int(self._cache.lengths[self._packs[index]].sum())


class WeighedByMargin(torch.nn.Module):
    """An algorithm: what each document expects of its labels, times its margin."""

    def forward(self, batch, *, normalizer):
        given = with_rounded_length(batch)
        expected = sum_by_document(given.per_token["expected"][0], batch)
        return {"loss": (expected * given.per_document["margin"]).sum() / normalizer}


@pytest.mark.parametrize("shared", [1, 2])
def test_a_new_vector_costs_one_declaration(own_cache, shared):
    """From samples to an algorithm, over every carrier, with what this file alone knows."""
    draw = np.random.default_rng(0)
    samples = [
        sample(*draw.integers(1, 9, size), expected=draw.normal(size=size), margin=draw.normal())
        for size in draw.integers(2, 8, size=9)
    ]
    # At the last token of a document stands the neutral value
    wanted = sum(
        (s.per_token["expected"][1:].sum() - 0.5) * s.per_document["margin"] for s in samples
    )
    cache = open_cache("key", lambda: [samples], dict)
    algorithm, total, fillers = WeighedByMargin(), 0.0, 0
    for rank in range(2):
        loader = StepLoader(
            Items(cache),
            batch_size=2,
            accumulative_counts=1,
            seed=0,
            world=World(rank=rank, size=2),
        )
        for step in range(loader.steps_per_epoch):
            for batch in loader.step(step):
                if batch.is_filler:
                    fillers += 1
                    assert algorithm(batch, normalizer=1)["loss"].shape == ()
                    continue
                total += loss_of(algorithm, batch.to("cpu"), shared)
    assert fillers == 1
    assert total == pytest.approx(float(wanted), rel=1e-5)


def loss_of(algorithm, batch, shared):
    """The loss of a batch; of one whose row is shared, by what each process has of the sums."""
    if shared == 1:
        return algorithm(batch, normalizer=1)["loss"].item()
    slices = [slice_of(batch, SequenceGroup(rank=rank, size=shared)) for rank in range(shared)]
    row = torch.cat([one.per_token["expected"] for one in slices], dim=1)[0]
    total = 0.0
    for (begin, end), margin in zip(
        pairwise(batch.cu_seqlens.tolist()), slices[-1].per_document["margin"], strict=True
    ):
        total += (row[begin:end].sum() * margin).item()
    return total


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            ({"wieghts": np.ones(2)}, {}),
            r"'wieghts', which is not declared; did you mean 'weights'",
        ),
        (({"margin": np.ones(2)}, {}), r"kind='document': it belongs into per_document"),
        (({}, {"weights": 1.0}), r"kind='label': it belongs into per_token"),
    ],
)
def test_what_is_not_declared_so_is_refused(given, told):
    ids = np.zeros(2, np.int32)
    with pytest.raises(DataError, match=told):
        Sample(ids, ids, *given)
    row = torch.zeros(1, 2, dtype=torch.int64)
    with pytest.raises(DataError, match=told):
        Batch(row, row, row, torch.tensor([0, 2]), 2, (), False, *given)


def test_a_name_means_one_thing():
    declare(Vector("margin", "document"))
    with pytest.raises(DataError, match="has that name already"):
        declare(Vector("margin", "label"))
    with pytest.raises(DataError, match="'ids': give a Python name other than ids, trained"):
        declare(Vector("ids", "label"))


def test_a_vector_of_another_length_is_refused_by_the_cache(own_cache):
    short = sample(1, 2, 3, expected=[0, 1])
    with pytest.raises(DataError, match=r"3 tokens has 2 numbers in 'expected'.*give 3"):
        open_cache("key", lambda: [[short]], dict)
