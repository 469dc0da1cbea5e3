import datasets
import pytest

from xtune.data.sources.hub import HubSource
from xtune.errors import DataError


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def test_without_network_it_says_how_to_do_without():
    with pytest.raises(
        DataError, match=r"cannot load split 'train' of 'nobody/nothing'.*to_parquet"
    ):
        list(HubSource("nobody/nothing", split="train").rows())


def local_dataset(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    # `datasets` loads a folder by the same call as a hub id, and by the same code after it.
    (folder / "train.jsonl").write_text('{"q": "one", "a": null}\n{"q": "two", "a": "2"}\n')
    return str(folder)


def test_rows_come_with_their_place(tmp_path):
    path = local_dataset(tmp_path)
    assert list(HubSource(path, split="train").rows()) == [
        (f"{path}[train] row 1", {"q": "one", "a": None}),
        (f"{path}[train] row 2", {"q": "two", "a": "2"}),
    ]


def test_a_split_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot load split 'validation'"):
        list(HubSource(local_dataset(tmp_path), split="validation").rows())


def test_the_fingerprint_tells_splits_and_parts_apart(tmp_path):
    path = local_dataset(tmp_path)
    whole = HubSource(path, split="train").fingerprint()
    assert HubSource(path, split="train").fingerprint() == whole
    assert HubSource(path, split="train[:1]").fingerprint() != whole
