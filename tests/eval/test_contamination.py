"""Questions that stand in training rows are found, whatever their case, width and neighbours."""

from __future__ import annotations

import json

from xtune.eval.contamination import Overlap, find_overlaps, training_texts
from xtune.eval.tasks.base import Item

LONG = "a farmer has twelve sheep and sells all but seven how many sheep has he left now"


def items(*questions):
    return [Item(id=str(at), question=text, gold=0) for at, text in enumerate(questions)]


def words(count, prefix="w"):
    return " ".join(f"{prefix}{at}" for at in range(count))


def test_a_question_in_other_clothes_is_found():
    text = f"He asked: «{LONG.upper().replace(' ', ', ')}?» Nobody knew."
    found = find_overlaps(items(LONG), [("a.json:1", text)])
    assert found.touched == {"0": Overlap(17, 17, "a.json:1", LONG)}
    assert found.rows == 1


def test_a_long_question_needs_thirteen_tokens_in_a_row():
    question = words(20)
    twelve, thirteen = words(20).split()[3:15], words(20).split()[3:16]
    assert not find_overlaps(items(question), [("a", " ".join(["x", *twelve, "y"]))]).touched
    found = find_overlaps(items(question), [("a", " ".join(["x", *thirteen, "y"]))])
    assert found.touched["0"].tokens == 13
    assert found.touched["0"].text == " ".join(thirteen)


def test_a_short_question_needs_eight():
    question = words(12)
    seven, eight = question.split()[:7], question.split()[2:10]
    assert not find_overlaps(items(question), [("a", " ".join(seven))]).touched
    assert find_overlaps(items(question), [("a", " ".join(eight))]).touched["0"].tokens == 8


def test_too_short_to_tell_is_counted():
    found = find_overlaps(
        items("Who was Ada Lovelace?", words(9)), [("a", "Who was Ada Lovelace?")]
    )
    assert (found.too_short, found.touched) == (["0"], {})


def test_the_longest_run_is_told_and_where_it_stands():
    question = words(30)
    parts = question.split()
    texts = [
        ("a:1", " ".join(parts[:14])),
        ("a:2", " ".join(parts[5:25])),
        ("a:3", " ".join(parts[2:18])),
    ]
    found = find_overlaps(items(question), texts)
    assert found.touched["0"] == Overlap(20, 30, "a:2", " ".join(parts[5:25]))
    assert found.rows == 3


def test_repeated_words_find_the_longest_run():
    question = "la la la la la la la la la la la la la la end of the song"
    found = find_overlaps(items(question), [("a", "la " * 5 + question)])
    assert found.touched["0"].tokens == 18


def test_chinese_counts_by_characters():
    question = "《红楼梦》的作者是谁,他生活在哪个朝代?"
    found = find_overlaps(items(question), [("a", "请回答：红楼梦的作者是谁？他生活在哪个朝代呢")])
    assert found.touched["0"].tokens == found.touched["0"].of == 16


def test_two_items_of_one_beginning_are_both_found():
    first, second = f"{words(13)} red", f"{words(13)} blue"
    found = find_overlaps(items(first, second), [("a", f"{words(13)} blue")])
    assert {name: overlap.tokens for name, overlap in found.touched.items()} == {"0": 13, "1": 14}


def test_all_texts_of_all_sources_of_a_run_are_read(tmp_path):
    chats = [{"messages": [{"role": "user", "content": "hei"}, {"role": "x", "content": "på"}]}]
    (tmp_path / "a.json").write_text(json.dumps(chats))
    rows = "".join(json.dumps({"q": f"q{n}", "n": n, "tags": ["t"]}) + "\n" for n in range(3))
    (tmp_path / "b.jsonl").write_text(rows)
    dataset = {
        "type": "SFTDataset",
        "map_fn": "openai",
        "data_path": [
            {"data_path": str(tmp_path / "a.json")},
            {"data_path": str(tmp_path / "b.jsonl"), "map_fn": "alpaca", "max_rows": 2},
        ],
    }
    texts = [text for _, text in training_texts(dataset)]
    assert texts == ["user", "hei", "x", "på", "q0", "t", "q1", "t"]
