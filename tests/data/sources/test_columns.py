"""The same rows as JSON, tables and what `datasets` saves: the same conversations and tokens."""

from __future__ import annotations

import csv
import datetime
import decimal
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from xtune.data.formats import all_formats
from xtune.data.map_fns.base import UnusableRow
from xtune.data.pipeline import Pipeline
from xtune.data.sources import open_source
from xtune.data.sources.hub import rows_of
from xtune.data.templates import build_template

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SUM = {
    "type": "object",
    "properties": {"a": {"type": "number"}, "b": {"type": "number", "enum": [None, 1]}},
}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "W", "parameters": CITY}},
    {"type": "function", "function": {"name": "add", "parameters": SUM}},
]


def called(name, **arguments):
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def asked(call, content):
    return {
        "tools": TOOLS,
        "messages": [
            {"role": "user", "content": "Please."},
            {"role": "assistant", "content": content, "tool_calls": [call]},
            {"role": "tool", "content": "3", "name": call["function"]["name"]},
            {"role": "assistant", "content": "3."},
        ],
    }


MIXED = [asked(called("weather", city="Oslo"), ""), asked(called("add", a=2, b=5), "Let me see.")]
SAID = [
    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]},
    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": None}]},
    {
        "conversations": [
            {"from": "human", "value": "Hi"},
            {"from": "gpt", "value": "", "loss": True},
        ]
    },
]


TEXTS = ("a.json", "a.jsonl", "a.csv", "texts.parquet")


def as_cell(value):
    """What a table of text has for a value: lists and objects are JSON there."""
    return json.dumps(value) if isinstance(value, list | dict) else value


def containers(folder, rows):
    """The rows in every kind of container that holds them."""
    texts = [{name: as_cell(value) for name, value in row.items()} for row in rows]
    with (folder / "a.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(texts)
    pq.write_table(pa.Table.from_pylist(texts), folder / "texts.parquet")
    (folder / "a.json").write_text(json.dumps(rows))
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = {name: open_source(str(folder / name), split="train") for name in TEXTS}
    try:
        table = pa.Table.from_pylist(rows)
    except pa.ArrowInvalid:  # text and a list in one column, which no table can hold
        return {name: list(source.rows()) for name, source in made.items()}
    try:
        pq.write_table(table, folder / "a.parquet")
    except pa.ArrowNotImplementedError:  # an empty struct
        pass
    else:
        made["a.parquet"] = open_source(str(folder / "a.parquet"), split="train")
    data = Dataset(table)
    data.save_to_disk(folder / "saved")
    made["saved"] = open_source(str(folder / "saved"), split="train")
    return {
        **{name: list(source.rows()) for name, source in made.items()},
        "hub": list(rows_of(data, "hub")),
        "streamed": list(rows_of(data.to_iterable_dataset(), "hub")),
    }


def outcome(map_fn, row):
    try:
        return map_fn(row)
    except UnusableRow as unusable:
        return unusable.reason


ASK, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}
# Forms that a format reads besides that of its example
OTHER_FORMS = {
    "coig": {"conversations": {"question": ["Hi"], "answer": ["Ho"]}},
    "firefly": {"conversation": [{"human": "Hi", "assistant": "Ho"}]},
    "preference": {"prompt": [ASK], "chosen": [ANSWER], "rejected": [{**ANSWER, "content": "No"}]},
    "tokenized": {"input_ids": [5, 6], "label_mask": [0, 1], "attention_mask": [1, 1]},
    "ultrachat": {"messages": [ASK, ANSWER]},
    "alpaca": {"instruction": "Hi", "output": "Ho", "history": [["a", "b"], ["c", "d"]]},
    "openai": {"messages": [ASK, ANSWER], "functions": [{"name": "clock"}]},
    "xlam": {"query": "Hi", "answers": [{"name": "f", "arguments": {}}], "tools": [{"name": "f"}]},
}
FORMS = [(name, format.row) for name, format in sorted(all_formats().items())]
FORMS += list(OTHER_FORMS.items())


@pytest.mark.parametrize(("name", "row"), FORMS)
def test_every_format_reads_the_same_from_every_container(tmp_path, name, row):
    map_fn = all_formats()[name].map_fn
    expected = map_fn(row)
    for container, rows in containers(tmp_path, [row, row]).items():
        made = [outcome(map_fn, row) for _, row in rows]
        assert made == [expected] * 2, container


@pytest.mark.parametrize(("name", "row"), FORMS)
def test_lists_and_objects_may_be_written_as_python_writes_them(name, row):
    """pandas writes them so into a csv."""
    written = {key: str(one) if isinstance(one, list | dict) else one for key, one in row.items()}
    map_fn = all_formats()[name].map_fn
    assert map_fn(written) == map_fn(row)


class Rows:
    def __init__(self, rows):
        self._rows = rows

    def rows(self):
        return iter(self._rows)


@pytest.mark.parametrize(("name", "rows"), [("openai", MIXED), ("sharegpt", SAID)])
def test_keys_that_differ_give_the_same_tokens_from_every_container(
    tmp_path, tokenizer, name, rows
):
    template = build_template("qwen_chat", tokenizer)
    made = {}
    for container, read in containers(tmp_path, rows).items():
        map_fn = all_formats()[name].map_fn
        pipeline = Pipeline(Rows(read), map_fn, template, tokenizer, max_length=4000, max_rows=None)
        ids = [sample.input_ids.tolist() for chunk in pipeline.chunks() for sample in chunk]
        made[container] = ids, pipeline.report
    assert len(made) == 8
    assert all(one == made["a.json"] for one in made.values())
    text = tokenizer.decode(made["saved"][0][0])
    assert ("null" in text) == (name == "openai")  # the one that stands in a list
    assert text.count("null") == (name == "openai")


def test_a_null_that_was_written_in_json_stays(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(asked(called("add", a=None), "")))
    ((_, row),) = open_source(str(path), split="train").rows()
    assert row["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"a": None}


def test_structs_know_the_keys_of_their_column(tmp_path):
    pq.write_table(pa.Table.from_pylist([{"m": {"a": 1}}, {"m": {"b": 2}}]), tmp_path / "a.parquet")
    (_, first), _ = open_source(str(tmp_path / "a.parquet"), split="train").rows()
    assert first == {"m": {"a": 1}}
    assert "b" not in first["m"]
    assert first["m"]["b"] is None
    with pytest.raises(KeyError):
        first["m"]["c"]


def test_other_types_are_what_json_has_for_them(tmp_path):
    day = datetime.datetime(2026, 11, 30, 5, 0)
    table = pa.table(
        {
            "time": pa.array([day], pa.timestamp("ns")),
            "date": [day.date()],
            "price": [decimal.Decimal("2.50")],
            "count": [decimal.Decimal("3")],
            "bytes": [b"Z\xc3\xbcrich"],
            "image": [b"\xff\xd8"],
            "word": pa.array(["a"]).dictionary_encode(),
            "large": pa.array(["b"], pa.large_string()),
            "nan": [float("nan")],
            "map": pa.array([[("k", None)]], pa.map_(pa.string(), pa.string())),
            "list": [[{"a": 1}, None, {"b": 2}]],
            "none": pa.array([None], pa.string()),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    ((_, row),) = open_source(str(tmp_path / "a.parquet"), split="train").rows()
    assert row == {
        "time": "2026-11-30T05:00:00",
        "date": "2026-11-30",
        "price": 2.5,
        "count": 3,
        "bytes": "Zürich",
        "image": b"\xff\xd8",
        "word": "a",
        "large": "b",
        "nan": None,
        "map": {"k": None},
        "list": [{"a": 1}, None, {"b": 2}],
        "none": None,
    }
