import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.alpaca import alpaca_map_fn
from xtune.errors import DataError


def test_the_input_stands_on_the_line_after_the_instruction():
    row = {"instruction": "Translate.", "input": "chien", "output": "dog"}
    assert alpaca_map_fn(row) == {
        "messages": [
            {"role": "user", "content": "Translate.\nchien"},
            {"role": "assistant", "content": "dog"},
        ]
    }


@pytest.mark.parametrize("nothing", ["", None, "  "])
def test_without_an_input_the_request_is_the_instruction_alone(nothing):
    row = {"instruction": "Sing.", "input": nothing, "output": "La."}
    assert alpaca_map_fn(row)["messages"][0]["content"] == "Sing."


@pytest.mark.parametrize("answer", ["", None, " \n", "<nooutput>", "<nooutput>\n"])
def test_a_row_without_an_answer_is_unusable(answer):
    with pytest.raises(UnusableRow) as caught:
        alpaca_map_fn({"instruction": "Sing.", "input": "", "output": answer})
    assert caught.value.reason == "empty answer"


def test_a_row_that_asks_nothing_is_unusable():
    with pytest.raises(UnusableRow, match="empty request"):
        alpaca_map_fn({"instruction": None, "input": "", "output": "La."})


@pytest.mark.parametrize("missing", ["instruction", "output"])
def test_a_missing_field_is_fatal_and_the_fields_seen_are_named(missing):
    row = {"instruction": "Sing.", "input": "", "output": "La.", "id": 7}
    del row[missing]
    with pytest.raises(DataError, match=f"no field '{missing}'.*seen: .*'id'") as caught:
        alpaca_map_fn(row)
    assert not isinstance(caught.value, UnusableRow)


def test_the_input_may_be_left_out():
    row = {"instruction": "Sing.", "output": "La."}
    assert alpaca_map_fn(row) == alpaca_map_fn({**row, "input": ""})


def test_a_number_as_answer_is_fatal_and_shown():
    with pytest.raises(DataError, match="'output' of the row must be text, not int 42"):
        alpaca_map_fn({"instruction": "Add.", "input": "", "output": 42})


def test_text_is_not_stripped():
    row = {"instruction": " Indent:", "input": "\tx", "output": "  y\n"}
    said = [message["content"] for message in alpaca_map_fn(row)["messages"]]
    assert said == [" Indent:\n\tx", "  y\n"]


ROW = {"instruction": "Sing.", "input": "", "output": "La."}
TURN = [{"role": "user", "content": "Sing."}, {"role": "assistant", "content": "La."}]


def test_a_system_text_and_a_history_come_before():
    row = {**ROW, "system": "Be brief.", "history": [["Hi", "Hello!"], ["Well?", "Well."]]}
    assert alpaca_map_fn(row)["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "Well?"},
        {"role": "assistant", "content": "Well."},
        *TURN,
    ]


@pytest.mark.parametrize(
    "nothing", [{"system": None, "history": None}, {"system": ""}, {"history": []}]
)
def test_an_empty_system_text_and_history_are_none(nothing):
    assert alpaca_map_fn({**ROW, **nothing})["messages"] == TURN


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"history": "Hi"}, "'history' is text, but neither JSON nor"),
        ({"history": ["Hi", "Hello!"]}, r"must hold \[request, answer\] pairs, not str 'Hi'"),
        ({"history": [["Hi"]]}, r"must hold \[request, answer\] pairs, not list \['Hi'\]"),
        ({"history": [["Hi", 5]]}, "must be text, not int 5"),
        ({"system": 5}, "'system' of the row must be text, not int 5"),
    ],
)
def test_additions_of_another_form_are_fatal(more, message):
    with pytest.raises(DataError, match=message) as caught:
        alpaca_map_fn({**ROW, **more})
    assert not isinstance(caught.value, UnusableRow)


def test_a_history_with_an_empty_answer_is_unusable():
    with pytest.raises(UnusableRow, match="empty answer"):
        alpaca_map_fn({**ROW, "history": [["Hi", ""]]})
