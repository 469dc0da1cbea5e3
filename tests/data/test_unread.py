"""What a map_fn does not read is named: for every format, and for functions of a user's own."""

from __future__ import annotations

import copy
import functools
import json
import sys

import pytest

from tests.data.tiny_tokenizer import tiny_tokenizer
from xtune.data.dataset import SFTDataset
from xtune.data.diagnose import diagnose
from xtune.data.formats import all_formats
from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.openai import openai_map_fn
from xtune.data.map_fns.sharegpt import sharegpt_map_fn
from xtune.data.sources.files import FilesSource
from xtune.data.streaming import StreamedSFTDataset
from xtune.data.unread import read_row, unread_lines
from xtune.errors import DataError

ASKED = {"role": "user", "content": "Hi"}
ANSWERED = {"role": "assistant", "content": "Hello."}
ROW = {"messages": [ASKED, ANSWERED]}
CALL = {"type": "function", "id": "a", "function": {"name": "clock", "arguments": {"city": "x"}}}

# What the examples of our formats hold and their docstrings say is not read
LEFT = {
    "firefly": ("kind",),
    "oasst_tree": ("message_tree_id", "prompt.replies.role", "prompt.replies.text"),
    "pretrain": ("url",),
    "ultrachat": ("id",),
}
# Rows with one more key there that are refused, in place of being read without it
REFUSED = {("moss_003_sft", "chat.")} | {
    (name, path)
    for name in ("orpo_dpo_mix_40k", "ultrafeedback_binarized", "ultrafeedback_cleaned")
    for path in ("chosen.", "reje")
}


def objects(value, path=""):
    """The objects in a value, itself among them, with the path that each is reported by."""
    if isinstance(value, dict):
        yield path, value
        for key, inside in value.items():
            yield from objects(inside, f"{path}{key}.")
    elif isinstance(value, list):
        for inside in value:
            yield from objects(inside, path)


@pytest.mark.parametrize("name", sorted(all_formats()))
def test_one_key_more_anywhere_in_a_row_of_any_format_is_named(name):
    format = all_formats()[name]
    assert read_row(format.map_fn, format.row).unread == LEFT.get(name, ())
    for place, (path, _) in enumerate(objects(format.row)):
        row = copy.deepcopy(format.row)
        list(objects(row))[place][1]["mood"] = "glad"
        try:
            unread = read_row(format.map_fn, row).unread
        except DataError:
            assert (name, path) in REFUSED or (name, path[:4]) in REFUSED
        else:
            assert f"{path}mood" in unread


@pytest.mark.parametrize("name", sorted(all_formats()))
def test_a_row_becomes_the_same_watched_or_not(name):
    format = all_formats()[name]
    made = read_row(format.map_fn, format.row).made
    assert made == format.map_fn(format.row)
    assert type(made) is dict
    assert {type(inside) for _, inside in objects(made)} == {dict}  # no watch is left in it
    json.dumps(made)


NOTED = sorted(name for name, one in all_formats().items() if hasattr(one.map_fn, "takes"))
PLAIN = {
    "alpaca": {"instruction": "Add.", "input": "2 and 2", "output": "4", "system": "Be brief."},
    "openai": {"messages": [ASKED, ANSWERED]},
    "sharegpt": {
        "system": "Be brief.",
        "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}],
    },
}


MORE = ["mood", "id", "tools", "functions", "history", "loss", "image", "messages", "conversations"]


def variants(row):
    """The row; with one key more anywhere; with another value, or none, anywhere; with each key."""
    yield row
    for place, (_, holder) in enumerate(objects(row)):
        for key in [
            *holder,
            *[
                "mood",
                "id",
                "tools",
                "functions",
                "history",
                "loss",
                "image",
                "messages",
                "conversations",
            ],
        ]:
            for value in (None, "", "glad", "[1]", '{"a": 1}', 5, [], ["a"], [{"a": 1}], {"a": 1}):
                changed = copy.deepcopy(row)
                list(objects(changed))[place][1][key] = value
                yield changed
        for key in holder:
            changed = copy.deepcopy(row)
            del list(objects(changed))[place][1][key]
            yield changed


def test_a_plain_row_that_is_not_watched_gives_what_a_watched_one_does():
    assert sorted(PLAIN) == NOTED
    for name, row in PLAIN.items():
        noted = all_formats()[name].map_fn
        assert noted.takes.leaves(row) == []  # else nothing is compared here

        def watched(row, noted=noted):
            return noted(row)

        for one in variants(row):
            made = []
            for function in (noted, watched):
                try:
                    made.append(read_row(function, copy.deepcopy(one)))
                except DataError as error:
                    made.append((type(error), str(error)))
            assert made[0] == made[1], (name, one)


def test_a_function_around_one_of_ours_is_watched():
    @functools.wraps(openai_map_fn)
    def first_only(row):
        return {"text": row["messages"][0]["content"]}

    assert sorted(read_row(first_only, ROW).unread) == ["messages.content", "messages.role"]


@pytest.mark.parametrize("name", NOTED)
def test_a_plain_row_costs_few_calls_more_than_its_map_fn(name):
    """Counted and not timed: watching a row makes as many calls as the map_fn itself."""
    function, row = all_formats()[name].map_fn, {**PLAIN[name], "id": 7}

    def calls(make):
        make(row)  # what is done once is done
        seen = []
        sys.setprofile(lambda frame, event, _: seen.append(event == "call"))
        try:
            make(row)
        finally:
            sys.setprofile(None)
        return sum(seen)

    alone = calls(function)
    assert calls(lambda row: read_row(function, row)) - alone <= 9
    assert calls(lambda row: read_row(lambda row: function(row), row)) - alone > 18


def test_null_and_what_is_empty_is_nothing_to_lose():
    nothing = {"a": None, "b": "", "c": [], "d": {}, "e": [None, {"x": None}], "f": float("nan")}
    assert read_row(openai_map_fn, {**ROW, **nothing}).unread == ()
    assert read_row(openai_map_fn, {**ROW, "a": 0, "b": False}).unread == ("a", "b")


def test_a_key_of_a_message_is_read_of_some_roles_only():
    messages = [
        {**ASKED, "name": "Ann", "tool_calls": [CALL], "loss": True},
        {**ANSWERED, "tool_calls": [{**CALL, "index": 0, "extra": 1}], "name": "bot"},
        {"role": "tool", "content": "12", "name": "clock", "tool_call_id": "a", "weight": 0},
        {**ANSWERED, "loss": False, "weight": 2},
    ]
    assert read_row(openai_map_fn, {"messages": messages}).unread == (
        "messages.loss",
        "messages.name",
        "messages.tool_calls",
        "messages.tool_calls.extra",
        "messages.tool_calls.index",
    )


def test_keys_inside_a_cell_of_json_text_are_named():
    calls = json.dumps([{**CALL, "extra": 1}])
    row = {"messages": [ASKED, {**ANSWERED, "tool_calls": calls}], "tools": '[{"name": "x"}]'}
    assert read_row(openai_map_fn, row).unread == ("messages.tool_calls.extra",)
    said = [
        {"from": "human", "value": "Time?"},
        {"from": "function_call", "value": '{"name": "clock", "arguments": {}, "why": "?"}'},
    ]
    unread = read_row(sharegpt_map_fn, {"conversations": said}).unread
    assert unread == ("conversations.value.why",)


def by_items(row):
    return {"text": " ".join(f"{key}: {value}" for key, value in row.items())}


def by_stars(row):
    return {"text": "{a} {b}".format(**row)}


def by_copy(row):
    return {"text": str(copy.deepcopy(row)) + json.dumps(row) + f"{row}"}


def by_pattern(row):
    match row:
        case {"a": a, "b": b}:
            return {"text": f"{a} {b}"}


@pytest.mark.parametrize("function", [by_items, by_stars, by_copy, by_pattern])
def test_a_function_of_the_users_own_may_read_as_it_likes(function):
    row = {"a": "x", "b": [{"c": "y"}]}
    assert read_row(function, row) == (function(row), ())


def test_what_a_function_hands_on_and_nobody_reads_after_it_is_named():
    row = {"messages": [{**ASKED, "mood": "glad"}, ANSWERED], "score": 1}
    assert read_row(lambda row: {**row}, row).unread == ("score", "messages.mood")
    assert read_row(lambda row: {"messages": row["messages"]}, row).unread == (
        "score",
        "messages.mood",
    )


def test_a_function_may_change_its_row():
    def own(row):
        row["text"] = row.pop("a")
        row.setdefault("more", "x")
        row.update(other=1)
        del row["other"]
        return {"text": row["text"]}

    assert read_row(own, {"a": "x", "b": "y"}) == ({"text": "x"}, ("b",))


@pytest.mark.parametrize(
    ("key", "mark"),
    [
        ("images", "<image>"),
        ("image", "<|image_pad|>"),
        ("videos", "<video>"),
        ("audio", "<audio>"),
    ],
)
def test_a_row_whose_text_points_to_an_image_is_dropped(key, mark):
    row = {"messages": [{"role": "user", "content": f"{mark}What is it?"}, ANSWERED], key: ["a"]}
    with pytest.raises(UnusableRow, match="images, videos and sounds are not trained on: its text"):
        read_row(openai_map_fn, row)
    assert read_row(openai_map_fn, {**row, key: []}).unread == ()  # talk of a tag
    assert read_row(openai_map_fn, {**ROW, key: ["a"]}).unread == (key,)


@pytest.mark.parametrize("key", ["kto_tag", "label", "rejected_response"])
def test_rows_that_say_which_answers_are_bad_are_told_what_becomes_of_them(key):
    row = {"prompt": "q", "completion": "a", key: "x"}
    counts = dict.fromkeys(read_row(all_formats()["code_alpaca"].map_fn, row).unread, 1)
    assert unread_lines(counts) == [
        f"{key} (1 row): the map_fn does not read it",
        "good answers and bad ones are trained alike: take rows with bad ones out",
    ]


def test_lines_are_one_for_rows_and_one_for_each_key_inside():
    assert unread_lines({"score": 60, "messages.mood": 1, "images": 1, "id": 60}) == [
        "score (60 rows), images (1 row): the map_fn does not read them",
        "1 row: 'mood' in messages",
        "images, videos and sounds are not trained on",
    ]
    assert unread_lines({"id": 9, "source": 9}) == []


@pytest.fixture
def rows(write_rows):
    odd = {"messages": [{**ASKED, "mood": "glad"}, ANSWERED], "score": 3}
    return write_rows([ROW, odd, {**ROW, "score": 4, "id": 1}, {"messages": [ASKED], "score": 5}])


def test_the_report_has_them_of_rows_that_are_kept_fresh_and_from_the_cache(rows):
    for _ in range(2):
        data = SFTDataset(
            data_path=rows,
            tokenizer=tiny_tokenizer(),
            map_fn="openai",
            template="chatml",
            max_length=64,
        )
        assert data.report.unread == {"score": 2, "messages.mood": 1, "id": 1}
        assert "unread    score (2 rows): the map_fn does not read it" in data.report.lines()
        assert "unread    1 row: 'mood' in messages" in data.report.lines()


def test_a_mixture_adds_them_and_a_stream_has_them_by_window(rows):
    settings = {"tokenizer": tiny_tokenizer(), "template": "chatml", "max_length": 64}
    mixed = SFTDataset(
        data_path=[{"data_path": rows}, {"data_path": rows, "max_rows": 2}],
        map_fn="openai",
        **settings,
    )
    assert mixed.report.unread == {"score": 3, "messages.mood": 2, "id": 1}
    streamed = StreamedSFTDataset(data_path=rows, map_fn="auto", window_rows=2, **settings)
    assert streamed.report.unread == {"score": 1, "messages.mood": 1}


def test_check_dataset_says_where_they_begin(rows):
    found = diagnose(FilesSource(rows), "openai")
    assert found.unread == {"score": 2, "messages.mood": 1, "id": 1}
    assert found.unread_first["score"].endswith("data.jsonl:2")


def test_a_key_that_a_function_hands_on_and_the_template_writes_is_read(write_rows):
    row = {"messages": [ASKED, {**ANSWERED, "mood": "glad", "tone": "low"}]}
    jinja = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.mood }}{{ m.content }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    data = SFTDataset(
        data_path=write_rows([row]),
        tokenizer=tiny_tokenizer(chat_template=jinja),
        map_fn=lambda row: {"messages": row["messages"]},
        max_length=64,
    )
    assert data.report.unread == {"messages.tone": 1}
