import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.preference import preference_map_fn
from xtune.errors import DataError

ASKED = {"role": "user", "content": "Two and two?"}
GOOD = {"role": "assistant", "content": "Four."}
BAD = {"role": "assistant", "content": "Five."}
PAIR = {"prompt": [ASKED], "chosen": [GOOD], "rejected": [BAD]}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Two and two?", "chosen": "Four.", "rejected": "Five."},
        {"prompt": [ASKED], "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": "Two and two?", "chosen": [GOOD], "rejected": "Five."},
        {"chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
    ],
)
def test_texts_messages_and_whole_dialogues_give_the_same_pair(row):
    assert preference_map_fn(row) == PAIR


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "ignored", "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD], "score": 1},
        {"chosen": "Two and two?\nFour.", "rejected": "Two and two?\nFive."},
    ],
)
def test_answers_that_hold_the_prompt_say_so_and_have_it_once(row):
    made = preference_map_fn({"prompt": "Two and two?", **row})
    assert made.pop("form") == "chosen and rejected hold the prompt"
    assert [made[name][0]["content"].strip() for name in PAIR] == [
        "Two and two?",
        "Four.",
        "Five.",
    ]


@pytest.mark.parametrize(
    ("prompt", "chosen", "rejected"),
    [
        ("Hi", "Hi there.", "Hi you."),  # a word may begin any answer
        ("Two and two?", "Two and two? Four.", "Five."),  # one of them alone
        ("Two and two", "Two and twofold.", "Two and twofold five."),  # in the middle of a word
    ],
)
def test_an_answer_that_only_begins_like_the_prompt_is_left(prompt, chosen, rejected):
    made = preference_map_fn({"prompt": prompt, "chosen": chosen, "rejected": rejected})
    assert [made[name][0]["content"] for name in PAIR] == [prompt, chosen, rejected]
    assert "form" not in made


def test_answers_of_several_messages_stand_after_their_prompt():
    turn = [{"role": "assistant", "content": "Sure?"}, {"role": "user", "content": "Yes."}]
    made = preference_map_fn({"prompt": [ASKED], "chosen": [*turn, GOOD], "rejected": [*turn, BAD]})
    assert made == {"prompt": [ASKED, *turn], "chosen": [GOOD], "rejected": [BAD]}
    other = [{"role": "assistant", "content": "What?"}, *turn[1:], BAD]
    made = preference_map_fn({"prompt": [ASKED], "chosen": [*turn, GOOD], "rejected": other})
    assert made == {"prompt": [ASKED], "chosen": [*turn, GOOD], "rejected": other}


def test_what_else_a_row_says_stays_with_the_pair():
    more = {"margin": 2, "soft_label": 0.75, "source": "sums", "tools": [{"name": "add"}]}
    more["safe"] = [False, True]
    assert preference_map_fn({**PAIR, **more}) == {**PAIR, **more}
    nothing = {"margin": float("nan"), "soft_label": None, "source": "", "tools": None}
    nothing["safe"] = float("nan")
    assert preference_map_fn({**PAIR, **nothing}) == PAIR
    with pytest.raises(UnusableRow, match="by its margin the rejected answer is the better one"):
        preference_map_fn({**PAIR, "margin": -2})


def test_the_verdicts_of_a_cost_model_are_the_chosen_answers_first_and_may_be_text():
    written = {**PAIR, "safe": '[true, "False"]'}  # a cell of a table
    assert preference_map_fn(written) == {**PAIR, "safe": [True, False]}
    for safe, message in (
        ([True], "'safe' must be two booleans, not list"),
        ([True, 1], r"'safe\[1\]' must be true or false, not int 1"),
        (True, "field 'safe' must be a list of booleans, not bool True"),
    ):
        with pytest.raises(DataError, match=message):
            preference_map_fn({**PAIR, "safe": safe})


def test_dialogues_may_part_before_their_last_answer():
    more = [{"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes."}]
    made = preference_map_fn({"chosen": [ASKED, GOOD, *more], "rejected": [ASKED, BAD]})
    assert made == {"prompt": [ASKED], "chosen": [GOOD, *more], "rejected": [BAD]}


def test_an_empty_system_message_is_no_part_of_the_prompt():
    empty = {"role": "system", "content": ""}
    row = {"chosen": [empty, ASKED, GOOD], "rejected": [empty, ASKED, BAD]}
    assert preference_map_fn(row) == PAIR


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({**PAIR, "rejected": "Four."}, "chosen and rejected are the same"),
        ({"chosen": [ASKED, GOOD], "rejected": [ASKED, GOOD]}, "chosen and rejected are the same"),
        ({**PAIR, "chosen": ""}, "empty answer"),
        ({**PAIR, "chosen": []}, "empty answer"),
        ({**PAIR, "rejected": None}, "empty answer"),
        ({**PAIR, "prompt": " "}, "empty request"),
        ({**PAIR, "prompt": []}, "empty request"),
        ({"chosen": [ASKED, GOOD], "rejected": [{**ASKED, "content": "x"}, BAD]}, "empty request"),
    ],
)
def test_rows_with_nothing_to_learn_are_unusable(row, reason):
    with pytest.raises(UnusableRow) as caught:
        preference_map_fn(row)
    assert caught.value.reason == reason


@pytest.mark.parametrize("missing", ["prompt", "chosen", "rejected"])
def test_a_missing_field_is_fatal(missing):
    row = {key: value for key, value in PAIR.items() if key != missing}
    with pytest.raises(DataError, match=f"no field '{missing}'; fields seen") as caught:
        preference_map_fn(row)
    assert not isinstance(caught.value, UnusableRow)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chosen": 5}, "'chosen' must be a text or messages, not int 5"),
        ({"chosen": [ASKED]}, "'chosen' must end with a message of the role assistant"),
        ({"prompt": [{"role": "usr", "content": "x"}]}, "did you mean 'user'"),
    ],
)
def test_another_format_is_fatal(change, message):
    with pytest.raises(DataError, match=message):
        preference_map_fn({**PAIR, **change})
