import pytest
from datasets import Dataset, DatasetDict

from xtune.data.sources import open_source
from xtune.data.sources.files import FilesSource
from xtune.data.sources.hub import HubSource
from xtune.data.sources.modelscope import ModelScopeSource
from xtune.demos.toolcall import ToolcallSource
from xtune.errors import DataError, RegistryError
from xtune.registry import SOURCES, names_alone


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.jsonl").write_text('{"q": 1}\n')
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.jsonl").write_text('{"q": 2}\n')
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    "data_path",
    [
        "train.jsonl",
        "./train.jsonl",
        "folder",
        "folder/*.jsonl",
        ["train.jsonl", "folder"],
        {"type": "files", "path": "train.jsonl"},
    ],
)
def test_what_exists_is_files(here, data_path):
    assert isinstance(open_source(data_path, split="train"), FilesSource)


def test_a_source_is_found_by_its_name_and_gets_the_split(here):
    source = open_source("toolcall", split="held_out")
    assert isinstance(source, ToolcallSource)
    assert source.split == "held_out"


def test_a_dict_names_arguments_and_its_own_split_wins(here):
    source = open_source({"type": "toolcall", "rows": 3, "split": "held_out"}, split="train")
    assert source.split == "held_out"
    assert len(list(source.rows())) == 3


def test_a_path_before_a_hub_id(here):
    assert isinstance(open_source("folder/a.jsonl", split="train"), FilesSource)
    source = open_source("tatsu-lab/alpaca", split="validation")
    assert isinstance(source, HubSource)
    assert (source.path, source.split) == ("tatsu-lab/alpaca", "validation")


def test_a_users_own_source_is_found_in_its_file(here):
    (here / "mine.py").write_text(
        "class Mine:\n"
        "    def rows(self):\n"
        "        yield 'mine row 1', {'q': 3}\n"
        "    def fingerprint(self):\n"
        "        return 'x'\n"
    )
    source = open_source({"type": "mine.py:Mine"}, split="train")
    assert list(source.rows()) == [("mine row 1", {"q": 3})]


@pytest.mark.parametrize(
    ("data_path", "message"),
    [
        ("trian.jsonl", r"no data at 'trian\.jsonl' \(looked.*\); did you mean 'train\.jsonl'\?"),
        ("folder/b.jsonl", r"'folder/b\.jsonl' \(looked.*did you mean 'folder/a\.jsonl'\?"),
        ("tolcall", "did you mean 'toolcall'"),
        (
            "empty",
            "'empty' is a folder without a json, jsonl, csv, tsv, txt, parquet or",
        ),
        (
            "nowhere/*.jsonl",
            r"jsonl\)\. Nor is it a source \(agent_tools, toolcall, toolcall_pairs\), a hub",
        ),
        ([], "an empty list"),
        ("", "no data at ''"),
    ],
)
def test_what_is_not_there_is_named(here, data_path, message):
    with pytest.raises(DataError, match=message):
        open_source(data_path, split="train")


def test_modelscope_is_named_by_a_prefix(here):
    source = open_source("modelscope:damo/MSAgent-Bench", split="validation")
    assert isinstance(source, ModelScopeSource)
    assert (source.path, source.split) == ("damo/MSAgent-Bench", "validation")


def test_a_folder_of_splits_that_datasets_saved_is_read_by_split(here):
    parts = {name: Dataset.from_list([{"q": name}]) for name in ("train", "validation")}
    DatasetDict(parts).save_to_disk("saved")
    for name in parts:
        source = open_source("saved", split=name)
        assert [row for _, row in source.rows()] == [{"q": name}]
    with pytest.raises(DataError, match="no data at 'saved/test'"):
        open_source("saved", split="test")


def test_an_unknown_type_is_refused(here):
    with pytest.raises(RegistryError, match="unknown source 'fils'; did you mean 'files'"):
        open_source({"type": "fils", "path": "train.jsonl"}, split="train")


def test_only_a_source_that_needs_nothing_is_opened_by_its_bare_name():
    alone = names_alone(SOURCES, "split")
    assert "toolcall" in alone
    assert not {"files", "hub", "modelscope", "olmo"} & set(alone)
