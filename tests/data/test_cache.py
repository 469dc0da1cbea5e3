"""The token cache: what makes another key, damage, and a writer that dies."""

from __future__ import annotations

import errno
import json
import logging
import multiprocessing
import os
import sys
import time

import numpy as np
import pytest

from tests.data.tiny_tokenizer import tiny_tokenizer
from xtune.data.cache import open_cache
from xtune.data.dataset import SFTDataset
from xtune.errors import DataError
from xtune.structures import Sample

ROWS = [{"instruction": f"Add {n} and 2.", "input": "", "output": f"{n + 2}"} for n in range(5)]


@pytest.fixture
def make(tokenizer, write_rows):
    path = write_rows(ROWS)

    def make_dataset(**changed):
        arguments = {
            "data_path": path,
            "map_fn": "alpaca",
            "template": "chatml",
            "max_length": 64,
            "tokenizer": tokenizer,
        }
        return SFTDataset(**{**arguments, **changed})

    return make_dataset


def keys(folder):
    return {path.name for path in folder.iterdir() if path.is_dir()}


def map_by(source):
    """A map_fn as a config would define it: from text that is in no file."""
    namespace = {"__name__": "config"}
    exec(source, namespace)
    return namespace["mine"]


MINE = """
def mine(row):
    return {"text": row["output"] + suffix()}
def suffix():
    return "."
"""


def test_second_start_reads_what_the_first_wrote(make, monkeypatch):
    first = make()
    monkeypatch.setattr("xtune.data.pipeline.Pipeline.chunks", lambda self: 1 / 0)
    second = make()
    assert second.report == first.report
    assert all(
        np.array_equal(first.sample(n).input_ids, second.sample(n).input_ids) for n in range(5)
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"max_length": 65},
        {"max_rows": 4},
        {"template": "internlm2_chat"},
        {"tokenizer": tiny_tokenizer(eos="<|im_end|>")},
        {"tokenizer": tiny_tokenizer(like_llama3=True)},
        {"map_fn": map_by(MINE)},
    ],
    ids=["max_length", "max_rows", "template", "special token", "vocabulary", "map_fn"],
)
def test_whatever_changes_tokens_makes_another_key(make, own_cache, changed):
    make()
    make(**changed)
    assert len(keys(own_cache)) == 2


def test_other_data_make_another_key(make, own_cache, write_rows):
    make()
    write_rows([*ROWS, ROWS[0]])
    assert make().report.rows == 6
    assert len(keys(own_cache)) == 2


def test_packing_makes_no_other_key(make, own_cache):
    make()
    make(pack_to_max_length=False)
    assert len(keys(own_cache)) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [('"output"', '"input"'), ('"."', '"!"'), ("suffix()}", "suffix() * 2}")],
    ids=["a constant", "what it calls", "an operation"],
)
def test_another_function_of_the_same_name_makes_another_key(make, own_cache, before, after):
    make(map_fn=map_by(MINE), template="auto")
    make(map_fn=map_by(MINE), template="auto")
    assert len(keys(own_cache)) == 1
    make(map_fn=map_by(MINE.replace(before, after)), template="auto")
    assert len(keys(own_cache)) == 2


def test_closures_and_defaults_count(make, own_cache):
    def with_suffix(suffix, prefix=""):
        def mine(row, prefix=prefix):
            return {"text": prefix + row["output"] + suffix}

        return mine

    for arguments in [("!",), ("?",), ("?", "a"), ("!",)]:
        make(map_fn=with_suffix(*arguments), template="auto")
    assert len(keys(own_cache)) == 3


TEMPLATE = """
from xtune.data.templates import Template
class Mine(Template):
    def samples_of(self, conversation):
        for message in conversation["messages"]:
            message["content"] += mark()
        return super().samples_of(conversation)
def mark():
    return "."
def make(tokenizer):
    return Mine("mine", "{% for m in messages %}{{ m.content }}</s>{% endfor %}", tokenizer)
"""
SOURCE = """
from words import WORD
class Mine:
    def __init__(self, times):
        self.times = times
    def rows(self):
        yield "row 1", {"instruction": WORD * self.times, "input": "", "output": "b"}
    def fingerprint(self):
        return "the same for ever"
"""


@pytest.fixture
def forget(tmp_path, monkeypatch):
    """Forget what was imported from the folder, as the next process would."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def forget():
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
                del sys.modules[name]

    yield forget
    forget()


def test_templates_and_sources_of_the_users_own_make_keys_by_their_code(make, tmp_path, forget):
    def ids(template, word, times=1):
        forget()
        (tmp_path / "form.py").write_text(template)
        (tmp_path / "words.py").write_text(f"WORD = {word!r}")
        (tmp_path / "rows.py").write_text(SOURCE)
        source = {"type": f"{tmp_path}/rows.py:Mine", "times": times}
        data = make(data_path=source, template=f"{tmp_path}/form.py:make")
        return data.sample(0).input_ids.tobytes()

    made = {
        ids(*given)
        for given in [
            (TEMPLATE, "a"),
            (TEMPLATE.replace('"."', '"!"'), "a"),
            (TEMPLATE, "c"),
            (TEMPLATE, "a", 2),
        ]
    }
    assert len(made) == 4


def _remove(path):
    path.unlink()


def _truncate(path):
    os.truncate(path, 3)


def _flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _written(text):
    def write(path):
        path.write_text(text)

    return write


ARRAYS = ["ids.bin", "trained.bin", "offsets.npy"]


@pytest.mark.parametrize(
    ("damage", "name"),
    [(damage, name) for damage in (_remove, _truncate) for name in [*ARRAYS, "report.json"]]
    + [(_flip_a_bit, name) for name in ARRAYS]
    + [(_written(text), "report.json") for text in ("[]", "{}", "5", "null", "[" * 9999, "\0")],
)
def test_damaged_cache_is_written_anew_with_a_message(make, own_cache, caplog, damage, name):
    expected = make().sample(4).input_ids
    (folder,) = (path for path in own_cache.iterdir() if path.is_dir())
    damage(folder / name)
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(make().sample(4).input_ids, expected)
    assert "damaged" in caplog.text
    caplog.clear()
    make()
    assert not caplog.text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("report", {}),
        ("report", []),
        ("report", None),
        ("checksums", {}),
        ("checksums", []),
        ("own_checksum", 0),
    ],
)
def test_report_that_is_not_as_it_was_written_is_damage(make, own_cache, caplog, key, value):
    expected = make()
    (report,) = own_cache.glob("*/report.json")
    whole = report.read_text()
    report.write_text(json.dumps({**json.loads(whole), key: value}))
    assert make().report == expected.report
    assert "damaged" in caplog.text
    assert report.read_text() == whole


def test_every_digit_of_the_report_is_under_its_checksum(make, own_cache):
    make()
    (report,) = own_cache.glob("*/report.json")
    whole = report.read_text()
    for place in [place for place, character in enumerate(whole) if character.isdigit()][::7]:
        digit = str((int(whole[place]) + 1) % 10)
        report.write_text(whole[:place] + digit + whole[place + 1 :])
        make()
        assert report.read_text() == whole


def test_report_that_this_version_cannot_read_is_damage(own_cache):
    open_cache("key", samples, dict)

    def read_report(report):
        return report["rows"]

    open_cache("key", samples, lambda: {"rows": 3}, read_report=read_report)
    assert open_cache("key", lambda: 1 / 0, dict, read_report=read_report).report == {"rows": 3}


@pytest.mark.parametrize("link", [False, True])
def test_file_in_the_place_of_the_folder_is_damage(own_cache, tmp_path, link):
    own_cache.mkdir(parents=True)
    (tmp_path / "file").write_text("a user's own")
    if link:
        (own_cache / "key").symlink_to(tmp_path / "file")
    else:
        (own_cache / "key").write_text("")
    assert len(open_cache("key", samples, dict)) == 3
    assert (tmp_path / "file").read_text() == "a user's own"


def samples(count=3):
    yield [Sample(np.full(2, n, np.int32), np.full(2, n, np.int32)) for n in range(count)]


def test_failed_writer_leaves_nothing_and_the_next_one_succeeds(own_cache):
    def failing():
        yield from samples()
        raise DataError("row 7")

    with pytest.raises(DataError, match="row 7"):
        open_cache("key", failing, dict)
    assert keys(own_cache) == set()
    assert len(open_cache("key", samples, dict)) == 3


def test_leftovers_of_a_killed_writer_do_no_harm(own_cache):
    leftover = own_cache / "key.tmp"
    leftover.mkdir(parents=True)
    (leftover / "ids.bin").write_bytes(b"half")
    assert len(open_cache("key", samples, dict)) == 3
    assert keys(own_cache) == {"key"}


def test_folder_that_cannot_be_written_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("XTUNE_CACHE", str(file))
    with pytest.raises(DataError, match=f"{file} is a file where a folder .*export XTUNE_CACHE"):
        open_cache("key", samples, dict)


def test_full_disk_is_told_so(own_cache):
    def full():
        yield from samples()
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError, match="Free some space, or name another folder"):
        open_cache("key", full, dict)


def _open(log):
    def slow():
        with open(log, "a") as file:
            file.write("written\n")
        time.sleep(0.3)
        yield from samples()

    assert len(open_cache("key", slow, dict)) == 3


def test_of_two_processes_one_writes_and_the_other_waits(tmp_path):
    log = tmp_path / "log"
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=_open, args=(log,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert log.read_text() == "written\n"


def test_trained_tokens_are_counted_a_block_of_samples_at_a_time(own_cache, monkeypatch):
    """The counts are those of the labels, and no more than a block's tokens are asked for."""
    draw = np.random.default_rng(0)
    sizes = draw.integers(1, 9, size=2 * 256 + 3)
    samples = [
        Sample(np.arange(n, dtype=np.int32), np.where(draw.random(n) < 0.5, 1, -100)) for n in sizes
    ]
    cache = open_cache("blocks", lambda: [samples], dict)
    asked = []
    reduceat = np.add.reduceat

    class Add:
        @staticmethod
        def reduceat(tokens, *args, **settings):
            asked.append(len(tokens))
            return reduceat(tokens, *args, **settings)

    monkeypatch.setattr("xtune.data.cache.np.add", Add)
    counted = cache.trained_lengths
    monkeypatch.undo()
    assert counted.tolist() == [int((sample.labels != -100).sum()) for sample in samples]
    assert asked == [sizes[:256].sum(), sizes[256:512].sum(), sizes[512:].sum()]
