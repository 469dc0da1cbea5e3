"""ModelScope's library cannot be installed here: a stand-in has the one call that is used."""

import sys
from types import ModuleType

import pytest
from datasets import Dataset

from xtune.data.sources.modelscope import ModelScopeSource
from xtune.errors import DataError


@pytest.fixture
def library(monkeypatch):
    class MsDataset:
        called = None

        @classmethod
        def load(cls, path, *, subset_name, split):
            cls.called = (path, subset_name, split)
            if split == "missing":
                raise ValueError("no such split\nfor sure")
            return cls()

        def to_hf_dataset(self):
            return Dataset.from_list([{"q": "one"}, {"q": "two"}])

    for name in ("modelscope", "modelscope.msdatasets"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["modelscope.msdatasets"].MsDataset = MsDataset
    monkeypatch.setattr("xtune.data.sources.modelscope.why_not_modelscope", lambda: None)
    return MsDataset


def test_rows_come_with_their_place(library):
    source = ModelScopeSource("damo/MSAgent-Bench", split="train", name="mini")
    assert list(source.rows()) == [
        ("modelscope:damo/MSAgent-Bench[train] row 1", {"q": "one"}),
        ("modelscope:damo/MSAgent-Bench[train] row 2", {"q": "two"}),
    ]
    assert library.called == ("damo/MSAgent-Bench", "mini", "train")


def test_the_fingerprint_tells_ids_and_splits_apart(library):
    prints = {
        ModelScopeSource(path, split=split).fingerprint()
        for path in ("a/b", "a/c")
        for split in ("train", "test")
    }
    assert len(prints) == 4


def test_a_failure_names_the_data_set_and_the_split(library):
    with pytest.raises(DataError, match="split 'missing' of 'a/b' from ModelScope: ValueError: no"):
        list(ModelScopeSource("a/b", split="missing").rows())


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "modelscope", None)
    with pytest.raises(DataError, match=r"needs the modelscope library: pip install '.\["):
        list(ModelScopeSource("a/b", split="train").rows())
