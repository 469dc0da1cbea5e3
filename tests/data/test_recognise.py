import pytest

from tests.data.sources.test_columns import FORMS, as_cell
from xtune.data.formats import all_formats
from xtune.data.map_fns import build_map_fn
from xtune.data.recognise import look_of, nearest, recognise
from xtune.errors import DataError

FORMATS = all_formats()
# Formats that read a row just as another does, and what is named in their place.
ALIKE = {
    "columns": "gsm8k",
    "crime_kg_assitant": "default",
    "law_reference": "gsm8k",
    "medical": "alpaca",
    "orpo_dpo_mix_40k": "preference",
    # Chosen by name only, since they rewrite what others read as it stands
    "msagent_react": "msagent",
    "wizardlm": "sharegpt",
}


def numbered(*rows):
    return [(f"data.jsonl:{number}", row) for number, row in enumerate(rows, start=1)]


def chosen(*rows):
    return recognise(numbered(*rows)).format.name


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_the_example_of_every_format_is_recognised(name):
    assert chosen(FORMATS[name].row) == ALIKE.get(name, name)


def test_it_says_why():
    row = {"id": 1, "instruction": "Add.", "input": "2 and 2", "output": "4"}
    assert recognise(numbered(row, row)).why == (
        "the first 2 rows have instruction, input, output; not read: id; "
        "belle, coig, guanaco, medical read them alike"
    )


def test_the_format_that_reads_the_most_fields_is_chosen():
    pair = {"question": "Two?", "response": "2"}
    assert chosen(pair) == "stack_exchange"
    assert chosen({**pair, "system_prompt": ""}) == "openorca"
    assert chosen({"input": "a", "output": "b"}) == "default"
    assert chosen({"input": "a", "output": "b", "instruction": "c"}) == "alpaca"


def test_marks_in_the_text_decide():
    assert chosen({"text": "Once upon a time."}) == "pretrain"
    assert chosen({"text": "### Human: Hi### Assistant: Hello!"}) == "oasst1"
    plain = {"instruction": "Add.", "input": "", "output": "4"}
    assert chosen(plain) == "alpaca"
    assert chosen(plain, {**plain, "instruction": "Human:1\nAssistant:2\nHuman:3"}) == "belle"
    assert chosen(plain, {**plain, "instruction": "User: 1\nAssistant: 2\nUser: 3"}) == "guanaco"


def test_an_unusable_row_is_no_obstacle():
    plain = {"instruction": "Add.", "input": "", "output": "4"}
    assert chosen({**plain, "output": ""}, plain) == "alpaca"


def test_only_the_first_hundred_rows_are_looked_at():
    plain = {"input": "a", "output": "b"}
    assert chosen(*[plain] * 100, {"other": 1}) == "default"
    with pytest.raises(DataError, match="data.jsonl:100: the row has no field 'input'"):
        chosen(*[plain] * 99, {"other": 1})


def test_what_fits_two_formats_differently_is_refused_with_both():
    rows = [{"instruction": f"{one}: 1\nAssistant: 2\n{one}: 3"} for one in ("Human", "User")]
    rows = [{**row, "input": "", "output": "4"} for row in rows]
    with pytest.raises(DataError) as caught:
        chosen(*rows)
    message = str(caught.value)
    assert "cannot tell the format: the first 2 rows, from data.jsonl:1 on" in message
    assert all(f"map_fn='{name}'" in message for name in ("alpaca", "belle", "guanaco"))


def test_no_rows_are_refused():
    with pytest.raises(DataError, match="the data set is empty"):
        chosen()


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"foo": 1}, ["Fields seen: foo."]),
        (
            {"instruction": "a", "outputs": "b"},
            [
                "alpaca reads instruction, output, input (optional): there is no 'output' "
                "(perhaps the row's 'outputs')"
            ],
        ),
        (
            {"message": []},
            ["openai reads messages: there is no 'messages' (perhaps the row's 'message')"],
        ),
        (
            {"messages": [{"role": "asistant", "content": "x"}]},
            ["openai reads messages: data.jsonl:1: message 1 has the role 'asistant'"],
        ),
        ({"input": "", "output": ""}, ["no row can be used: empty answer"]),
    ],
)
def test_unknown_rows_are_refused_with_the_nearest_formats(row, told):
    with pytest.raises(DataError) as caught:
        chosen(row)
    assert all(text in str(caught.value) for text in told)
    assert "no format fits the first row, from data.jsonl:1 on" in str(caught.value)
    assert str(caught.value).count(" reads ") <= 3


def test_the_nearest_formats_come_first():
    near = nearest({"instruction": "a", "outputs": "b"})
    assert near[0][0].name == "alpaca"
    assert near[0][1] == {"output": "outputs"}
    assert nearest({"foo": 1}) == []


def test_alpaca_without_inputs_is_alpaca():
    rows = [{"instruction": f"Say {n}.", "output": str(n)} for n in range(3)]
    assert chosen(*rows) == "alpaca"
    rows[1]["input"] = "loudly"  # in some rows only
    assert chosen(*rows) == "alpaca"


def texts(*rows):
    return [(f"a.jsonl:{number}", row) for number, row in enumerate(rows, start=1)]


ALPACA = {"instruction": "Add.", "output": "4"}


def own(row):
    return {"messages": [{"role": "user", "content": row["q"]}]}


@pytest.mark.parametrize("map_fn", [all_formats()["openai"].map_fn, own])
def test_where_a_map_fn_does_not_fit_the_rows_and_what_reads_them_are_told(map_fn):
    assert look_of(texts(ALPACA, {**ALPACA, "input": ""}), map_fn) == (
        "The first 2 rows have instruction, output, input (in 1): map_fn='alpaca' reads them"
    )
    said = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]
    assert look_of(texts({"conversations": said}), map_fn) == (
        "The first row has conversations of {from, value}: map_fn='sharegpt' reads that"
    )


def test_a_row_unlike_the_others_is_told_from_a_format_that_does_not_fit():
    rows = texts(ALPACA, {"instruction": 5, "output": "4"})
    assert look_of(rows, all_formats()["alpaca"].map_fn) == (
        "The first 2 rows have instruction, output, and others of them are read: correct this row "
        "or take it out. xtune check-dataset FILE lists all such rows"
    )


def test_where_nothing_reads_the_rows_the_nearest_are_told():
    said = look_of(texts({"message": []}), own)
    assert said.startswith(
        "The first row has message, and no map_fn that comes with xtune reads that; the nearest:\n"
        "  openai reads messages"
    )
    assert said.endswith("your own: map_fn='path/to/file.py:name'")


@pytest.mark.parametrize(("name", "row"), FORMS)
def test_the_format_is_told_from_text_in_cells_as_from_lists(name, row):
    def told(row):
        try:
            return recognise(texts(row)).format.name
        except DataError as error:
            return str(error).splitlines()[0].partition(":")[0]

    assert told({key: as_cell(value) for key, value in row.items()}) == told(row)


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"Question": "q", "Answer": "a"}, {"asked": "Question", "answer": "Answer"}),
        ({"synopsis": "q", "story": "a"}, {"asked": "synopsis", "answer": "story"}),
        ({"reply": "a", "mail": "q"}, {"asked": "mail", "answer": "reply"}),
        (
            {"Instruction": "q", "Input": "", "Response": "a", "id": 3},
            {"asked": ["Instruction", "Input"], "answer": "Response"},
        ),
        ({"user": "q", "assistant": "a", "topic": "t"}, {"asked": "user", "answer": "assistant"}),
    ],
)
def test_rows_of_texts_that_nothing_fits_are_told_how_to_name_their_columns(row, named):
    with pytest.raises(DataError) as caught:
        recognise(texts(row))
    advice = {"type": "columns", **named}
    assert f"Where {named['answer']} answers: map_fn={advice}\n" in str(caught.value)
    assert [one["content"] for one in build_map_fn(advice)(row)["messages"]] == ["q", "a"]


@pytest.mark.parametrize(
    "row", [{"a": "x", "b": "y", "c": "z"}, {"text": [1, 2]}, {"id": 1, "url": "u"}]
)
def test_where_it_cannot_be_told_nothing_is_advised(row):
    with pytest.raises(DataError) as caught:
        recognise(texts(row))
    assert "'columns'" not in str(caught.value)


def test_the_list_of_data_sets_of_llama_factory_is_told_from_data():
    with pytest.raises(DataError, match="name the file itself, data_path='mine.json'"):
        recognise(texts({"mine": {"file_name": "mine.json", "formatting": "sharegpt"}}))
