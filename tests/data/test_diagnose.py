import json

import pytest

from xtune.data.diagnose import diagnose
from xtune.data.formats import all_formats
from xtune.data.sources.files import FilesSource
from xtune.demos.toolcall import ToolcallSource
from xtune.errors import DataError, RegistryError

GOOD = {"instruction": "Add.", "input": "", "output": "4"}


@pytest.fixture
def found(tmp_path):
    """Diagnose lines: rows, or text as it stands; places come without the folder."""

    def diagnosed(*lines, map_fn="auto", name="data.jsonl", **arguments):
        path = tmp_path / name
        text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
        path.write_text(text + "\n", encoding="utf-8", errors="surrogateescape")
        made = diagnose(FilesSource(str(path)), map_fn, **arguments)
        for problem in made.problems:
            problem.places = [place.removeprefix(f"{tmp_path}/") for place in problem.places]
        return made

    return diagnosed


def faults(made):
    return [(problem.what, problem.stops, problem.count) for problem in made.problems]


@pytest.mark.parametrize("name", sorted(all_formats()))
def test_the_example_of_every_format_is_sound(found, name):
    made = found(all_formats()[name].row, map_fn=name)
    assert (made.rows, made.usable, made.format) == (1, 1, name)
    assert made.problems == []
    assert made.is_trainable


def test_good_rows_have_no_problems_and_their_fields_are_counted(found):
    made = found(GOOD, {**GOOD, "id": 7})
    assert made.problems == []
    assert (made.format, made.kind) == ("alpaca", "dialogue")
    assert dict(made.fields) == {"instruction": 2, "input": 2, "output": 2, "id": 1}


def test_every_broken_line_is_found_and_reading_goes_on(found):
    made = found(GOOD, '{"instruction": ', '"text"', "[1]", '{"q": "\udce9"}', '{"q": ', GOOD)
    assert (made.rows, made.usable, made.format) == (2, 2, "alpaca")
    assert not made.is_trainable
    assert [(problem.places, problem.stops) for problem in made.problems] == [
        (["data.jsonl:2", "data.jsonl:6"], True),  # they differ in the column alone
        (["data.jsonl:3"], True),
        (["data.jsonl:4"], True),
        (["data.jsonl:5"], True),
    ]
    assert made.problems[0].what.startswith("broken JSON at column")
    assert "fields=['prompt', ...]" in made.problems[2].what
    assert "iconv" in made.problems[3].what


def test_uneven_rows_of_a_table_are_found_and_reading_goes_on(found):
    made = found("input,output", "a,b", "a", "a,b,c", "c,d", name="data.csv")
    assert (made.rows, made.usable, made.format) == (2, 2, "default")
    assert [problem.places for problem in made.problems] == [["data.csv:3", "data.csv:4"]]


def test_what_stops_a_run_comes_first_and_each_has_its_fix(found):
    unasked = {"id": 1, "output": "4"}
    made = found(*[GOOD] * 8, {**GOOD, "output": ""}, {**GOOD, "output": 5}, unasked, unasked)
    assert faults(made) == [
        ("the row has no field 'instruction'; fields seen: 'id', 'output'", True, 2),
        ("field 'output' of the row must be text, not int 5", True, 1),
        ("empty answer", False, 1),
    ]
    assert [problem.fix.split(",")[0] for problem in made.problems] == [
        "add 'instruction' to these rows",
        "write it as text",
        "write the answer",
    ]
    assert made.problems[2].places == ["data.jsonl:9"]
    assert made.format == "alpaca"
    assert "9 of the first 12 rows can be read so" in made.why


def test_rows_that_are_skipped_do_not_stop_a_run(found):
    made = found(GOOD, {**GOOD, "output": ""}, {**GOOD, "output": "\ud83d"})
    assert made.is_trainable
    assert [(problem.stops, problem.count) for problem in made.problems] == [(False, 1), (False, 1)]
    assert "no character" in made.problems[1].what
    assert "both halves" in made.problems[1].fix


def test_rows_that_are_all_skipped_leave_nothing_to_learn(found):
    assert not found({**GOOD, "output": ""}, map_fn="alpaca").is_trainable


def test_only_some_places_are_kept(found):
    made = found(GOOD, *[{**GOOD, "output": ""}] * 9)
    assert made.problems[0].count == 9
    assert len(made.problems[0].places) == 5


def test_repeated_rows_are_counted(found):
    assert found(GOOD, {**GOOD, "output": "5"}, GOOD, GOOD).repeated == 2


def test_an_unknown_format_is_told_with_the_nearest(found):
    made = found({"message": []}, {"message": []})
    assert (made.format, made.usable, made.is_trainable) == ("", 0, False)
    assert "openai reads messages: there is no 'messages' (perhaps the row's 'message')" in made.why


def test_the_right_format_is_told_where_another_was_named(found):
    made = found(GOOD, GOOD, map_fn="openai")
    assert made.why.startswith("no row can be read so; they look like alpaca: the first 2 rows")
    assert faults(made)[0][1:] == (True, 2)


def test_a_users_own_function_is_run_and_may_fail(found, tmp_path):
    own = tmp_path / "mine.py"
    own.write_text("def mine(row):\n    return {'text': row['q'] * row['n']}\n")
    made = found({"q": "a", "n": 2}, {"q": "b"}, map_fn=f"{own}:mine")
    assert made.usable == 1
    assert faults(made) == [("the map_fn fails with KeyError: 'n'", True, 1)]


@pytest.mark.parametrize("returned", ["None", "[]", "{'messages': 'Hi'}", "{'text': 5}", "{}"])
def test_a_users_own_function_must_return_a_conversation(found, tmp_path, returned):
    own = tmp_path / "mine.py"
    own.write_text(f"def mine(row):\n    return {returned}\n")
    made = found({"q": "a"}, map_fn=f"{own}:mine")
    assert made.usable == 0
    assert "the function returns" in made.problems[0].what


def test_rows_that_fit_two_formats_are_not_settled_by_counting(found):
    rows = [{"instruction": f"{one}: 1\nAssistant: 2\n{one}: 3"} for one in ("Human", "User")]
    made = found(*({**row, "input": "", "output": "4"} for row in rows))
    assert made.format == ""
    assert "can be read in several, with different outcomes" in made.why
    assert not made.is_trainable


def test_max_rows_and_an_empty_file(found):
    assert found(GOOD, "{", max_rows=1).problems == []
    empty = found(name="data.jsonl")
    assert (empty.rows, empty.problems, empty.is_trainable) == (0, [], False)


def test_pairs_are_told_apart(found):
    assert found(all_formats()["hh_rlhf"].row).kind == "preference pair"


def test_another_source_than_files_is_read_too():
    made = diagnose(ToolcallSource(split="train", rows=6))
    assert (made.rows, made.usable, made.format) == (6, 6, "openai")


def test_an_unknown_map_fn_is_refused(found):
    with pytest.raises(RegistryError, match="did you mean 'alpaca'"):
        found(GOOD, map_fn="alpca")


IDS = ["0x1F", "0xe9", "2026-11-30", "2026-11-30T12:00:01Z", "550e8400-e29b-41d4-a716-446655440000"]
IDS += ["a3f9", "-1.5e3", "7"]


def test_faults_of_one_kind_are_one_whatever_ids_dates_and_values_they_name(found):
    def map_fn(row):
        raise DataError(f"the record {row['id']} is not known")

    made = found(*[{"id": one} for one in IDS], map_fn=map_fn)
    assert faults(made) == [("the record 0x1F is not known", True, len(IDS))]
    values = [5, [1, "a"], ["it's", 'say "x"', {"b": None}], {"a": ["b" * 60]}, {}]
    made = found(*[{**GOOD, "output": value} for value in values], map_fn="alpaca")
    kinds = {problem.what.split("not ")[1].split()[0]: problem.count for problem in made.problems}
    assert kinds == {"int": 1, "list": 2, "dict": 2}
    rows = [{"q": 1}, {"q": 1, "r": 2}, {"s": 1, "t": 2, "u": 3}]
    assert [n for _, _, n in faults(found(*rows, map_fn="alpaca"))] == [3]
