"""Sources that put several rows together: HelpSteer2's, SHP's, Open Assistant's."""

from __future__ import annotations

import json

import pytest

from xtune.data.sources import open_source
from xtune.errors import DataError


@pytest.fixture
def opened(write_rows):
    def open_rows(kind, rows, *, name="a.jsonl", **arguments):
        data_path = {"type": kind, "path": write_rows(rows, name), **arguments}
        return open_source(data_path, split="train")

    return open_rows


def test_rows_of_one_prompt_are_gathered_where_they_follow_each_other(opened):
    rows = [{"prompt": p, "response": r} for p, r in [*zip("aab", "123", strict=True), ("a", "4")]]
    source = opened("gathered", rows, by="prompt")
    made = list(source.rows())
    assert [row["prompt"] for _, row in made] == ["a", "b", "a"]
    assert [[one["response"] for one in row["gathered"]] for _, row in made] == [
        ["1", "2"],
        ["3"],
        ["4"],
    ]
    assert made[1][0].endswith("a.jsonl:3")
    assert list(source.rows()) == made
    other = opened("gathered", rows, by="response")
    assert source.fingerprint() != other.fingerprint()
    with pytest.raises(DataError, match=r"a.jsonl:1: there is no field 'promt' to gather rows by"):
        list(opened("gathered", rows, by="promt").rows())


def test_pairs_of_a_post_are_numbered_the_clearest_first(opened):
    given = [("x", 2.0), ("x", 9.0), ("x", 3.0), ("y", 2.5), ("x", 4.0)]
    source = opened("shp", [{"post_id": post, "score_ratio": ratio} for post, ratio in given])
    assert [row["pair_of_post"] for _, row in source.rows()] == [2, 0, 1, 0, 3]
    with pytest.raises(DataError, match="there is no field 'post_id'"):
        list(opened("shp", [{"score_ratio": 2}]).rows())
    ratios = opened("shp", [{"post_id": "x", "score_ratio": ratio} for ratio in ("2.5", "high")])
    with pytest.raises(
        DataError, match=r"a.jsonl:2: field 'score_ratio' .* number, not str 'high'"
    ):
        list(ratios.rows())


def message(number, parent, role, text, rank=None, **more):
    own = {"message_id": number, "parent_id": parent, "role": role, "text": text, "rank": rank}
    return {**own, "lang": "en", "deleted": False, "review_result": True, **more}


MESSAGES = [
    message("q", None, "prompter", "2?"),
    message("a", "q", "assistant", "Three.", 1),
    message("b", "q", "assistant", "Two.", 0),
    message("c", "q", "assistant", "Not ranked."),
    message("d", "q", "assistant", "Spam.", 2, deleted=True),
    message("e", "q", "assistant", "Refused.", 3, review_result=False),
    message("f", "b", "prompter", "Sure?"),
    message("g", "f", "assistant", "Yes.", 0),
    message("h", "f", "assistant", "No.", 1),
    message("i", "f", "assistant", "Perhaps.", 2),
    message("j", "d", "prompter", "Why?"),  # after what was deleted
    message("k", "j", "assistant", "So.", 0),
    message("l", "j", "assistant", "Well.", 1),
    message("m", None, "prompter", "Hi", tree_state="growing"),
    message("n", "m", "assistant", "Hello.", 0, tree_state="growing"),
    message("o", "m", "assistant", "What?", 1, tree_state="growing"),
]
RANKED = [
    {
        "prompt": [{"role": "user", "content": "2?"}],
        "answers": ["Two.", "Three."],
        "ranks": [0, 1],
        "source": "en",
    },
    {
        "prompt": [
            {"role": "user", "content": "2?"},
            {"role": "assistant", "content": "Two."},
            {"role": "user", "content": "Sure?"},
        ],
        "answers": ["Yes.", "No.", "Perhaps."],
        "ranks": [0, 1, 2],
        "source": "en",
    },
]


def tree(number, messages):
    (own,) = (one for one in messages if one["message_id"] == number)
    replies = [one["message_id"] for one in messages if one["parent_id"] == number]
    kept = {key: value for key, value in own.items() if key not in ("message_id", "parent_id")}
    return {**kept, "replies": [tree(reply, messages) for reply in replies]}


@pytest.mark.parametrize("backwards", [False, True])
def test_replies_that_people_ranked_are_a_row_of_their_prompt(opened, backwards):
    rows = MESSAGES[::-1] if backwards else MESSAGES  # an answer may stand before its prompt
    made = [row for _, row in opened("oasst_ranked", rows).rows()]
    assert made == RANKED


def test_trees_give_the_rows_of_their_messages(opened):
    trees = [
        {"message_tree_id": n, "tree_state": state, "prompt": tree(n, MESSAGES)}
        for n, state in (("q", "ready_for_export"), ("m", "growing"))
    ]
    assert [row for _, row in opened("oasst_ranked", trees).rows()] == RANKED


def test_a_reply_without_a_text_is_told_with_its_place(opened):
    whole = tree("q", MESSAGES)
    del whole["replies"][0]["text"]
    rows = opened("oasst_ranked", [{"prompt": whole}]).rows()
    with pytest.raises(DataError, match=r"a.jsonl:1: a message must have a text and the role"):
        list(rows)


def test_what_is_no_message_is_told(opened):
    with pytest.raises(DataError, match=r"fields seen: 'text'\. The source 'oasst_ranked' reads"):
        list(opened("oasst_ranked", [{"text": "### Human: Hi"}]).rows())
    with pytest.raises(DataError, match="the role prompter or assistant, not 'system'"):
        list(opened("oasst_ranked", [message("a", None, "system", "x")]).rows())


def test_a_fingerprint_is_of_the_rows(opened):
    first, again = (
        opened("oasst_ranked", MESSAGES),
        opened("oasst_ranked", MESSAGES, name="b.jsonl"),
    )
    assert first.fingerprint() == again.fingerprint()
    assert first.fingerprint() != opened("oasst_ranked", MESSAGES[1:], name="c.jsonl").fingerprint()
    assert json.dumps(list(first.rows()))
