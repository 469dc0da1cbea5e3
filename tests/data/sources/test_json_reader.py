"""Objects one after another, however their lines are cut; and what is no list of rows."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from xtune.data.sources.json_reader import read_json
from xtune.errors import DataError

ROWS = [
    {"q": 'braces } { ] [ and "quotes", \\', "a": [1, {"b": None}]},
    {"q": "two\nlines", "a": []},
    {"q": "", "a": [{}]},
]
PRETTY = [json.dumps(row, indent=2) for row in ROWS]
NESTED = '{"q": 1, "tools": [\n{"b": 2},\n{"b": 3}\n]}\n'


@pytest.fixture(params=["a.json", "a.jsonl"])
def read(request, tmp_path):
    def rows(text, fields=()):
        (tmp_path / request.param).write_text(text, encoding="utf-8")
        broken = []
        found = [
            (where.removeprefix(f"{tmp_path}/{request.param}"), row)
            for where, row in read_json(tmp_path / request.param, fields, broken.append)
        ]
        errors = [str(error).removeprefix(f"{tmp_path}/{request.param}") for error in broken]
        return found, errors

    return rows


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("\n".join(PRETTY), [":1", ":10", ":14"]),
        (",\n".join(PRETTY) + ",\n", [":1", ":10", ":14"]),
        ("\n\n".join(PRETTY), [":1", ":11", ":16"]),
        ("".join(PRETTY), [":1", ":9", ":12"]),
        (", ".join(json.dumps(row) for row in ROWS), [":1", ":1", ":1"]),
        (",\n".join(json.dumps(row) for row in ROWS) + ",", [":1", ":2", ":3"]),
        ("\n".join([json.dumps(ROWS[0]), PRETTY[1], json.dumps(ROWS[2])]), [":1", ":2", ":6"]),
    ],
)
def test_objects_one_after_another_are_rows(read, text, places):
    assert read(text) == (list(zip(places, ROWS, strict=True)), [])


@pytest.mark.parametrize("text", [PRETTY[0], NESTED])
def test_one_object_over_several_lines_is_one_row(read, text):
    assert read(text) == ([(":1", json.loads(text))], [])


def test_objects_inside_one_that_reaches_over_lines_are_no_rows(read):
    rows = [json.loads(NESTED)] * 2
    assert read(NESTED * 2) == ([(":1", rows[0]), (":5", rows[1])], [])


def test_a_fault_within_says_its_own_line_and_the_next_object_is_read(read):
    found, errors = read('{\n "q": 1\n "a": 2\n}\n{\n "q": 3\n}\n{\n "q": 4, "q": 5\n}\n')
    assert found == [(":5", {"q": 3})]
    assert errors[0].startswith(":3: broken JSON at column 2: Expecting ',' delimiter.")
    assert errors[1].startswith(":8: broken JSON: the key 'q' stands twice")


def test_a_file_that_was_cut_short_is_said_once(read):
    found, errors = read(PRETTY[0] + "\n" + PRETTY[1][:-9])
    assert found == [(":1", ROWS[0])]
    assert errors == [
        ":10: broken JSON: the object that begins here has no end. Was the file cut short?"
    ]


def test_a_line_that_was_cut_short_hides_none_after_it(read):
    found, errors = read('{"q": 1}\n{"q": [1,\n{"q": 2}\n{"q": [2,\n{"q": 3}\n')
    assert [where for where, _ in found] == [":1", ":3", ":5"]
    assert [error.partition(": ")[0] for error in errors] == [":2", ":4"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"q": 1},\n {"q": 2, "q": 3},\n {"q": 4}]', "the key 'q' stands twice in one object"),
        ('[{"q": 1}, {"a": {"q": 2, "q": 3}}, {"q": 4}]', "the key 'q' stands twice"),
        ('[{"q": 1}, {"q": Infinity}, {"q": 4}]', "Infinity is no JSON"),
        ('[{"q": 1}, {"q": ' + "9" * 5000 + '}, {"q": 4}]', "Exceeds the limit"),
    ],
)
def test_a_refused_row_of_an_array_is_named_and_the_others_are_read(read, text, said):
    found, errors = read(text)
    assert found == [(" row 1", {"q": 1}), (" row 3", {"q": 4})]
    assert len(errors) == 1
    assert errors[0].startswith(f" row 2: broken JSON: {said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"q": 1}]\n[{"q": 2}]', ":2: a second array begins here.* Put them into one array"),
        (
            '[{"role": "user", "content": "Hi"}]\n[{"role": "user", "content": "Hi"}]',
            'looks like one dialogue: .* {"messages": ',
        ),
        ('{"q": {"0": "a", "1": "b"}, "a": {"0": "c", "1": "d"}}', r"columns \('q', 'a'\), as pan"),
        ('{"q": ["a", "b"], "a": ["c", "d"]}', "the file is one object of columns"),
        ('{"0": {"q": "a"}, "1": {"q": "b"}}', r"each of its 2 keys \('0', '1', …\) has a row"),
        ('{\n"x": {"q": 1}, "y": {"q": 2}, "z": {"q": 3}}', "each of its 3 keys"),
        ('{"data": [{"messages": []}]}', "the rows lie under 'data'"),
        ("{'q': 'a'}\n", "with single quotes: write rows with json.dumps"),
    ],
)
def test_what_is_no_list_of_rows_is_told(tmp_path, text, said):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=said):
        list(read_json(tmp_path / "a.json"))


@pytest.mark.parametrize(
    "row",
    [
        {"input_ids": [1, 2], "labels": [1, 2]},
        {"data": ["Hi", "Ho"]},
        {"chat": {"turn_1": {"Human": "a"}, "turn_2": {"Human": "b"}}},
        {"q": {"a": 1}, "r": {"a": 2}},
    ],
)
def test_one_row_of_lists_or_objects_is_a_row(tmp_path, row):
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    assert [row for _, row in read_json(tmp_path / "a.jsonl")] == [row]


def test_the_commands_that_are_given_give_the_rows(tmp_path):
    """What pandas writes by default, turned by what the message says to type."""
    (tmp_path / "a.json").write_text('{"q": {"0": "007", "1": "b"}, "a": {"0": "c", "1": "ü"}}')
    with pytest.raises(DataError) as caught:
        list(read_json(tmp_path / "a.json"))
    code = re.search(r'python -c "(.*)"', str(caught.value))[1]
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    rows = [row for _, row in read_json(tmp_path / "rows.jsonl")]
    assert rows == [{"q": "007", "a": "c"}, {"q": "b", "a": "ü"}]
