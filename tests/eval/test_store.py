"""Answers are found by what decides them, and survive what kills their writer."""

from __future__ import annotations

from dataclasses import replace

from xtune.eval.requests import LikelihoodRequest
from xtune.eval.store import Store, request_key
from xtune.generation.requests import GenerationRequest

ASKED = LikelihoodRequest((1, 2), (3,))
WRITES = GenerationRequest((1, 2, 3), stop=("\n",), max_new_tokens=8, temperature=0.5, seed=1)


def test_a_key_is_of_all_that_decides_the_answer():
    keys = {
        request_key("weights", each)
        for each in (
            ASKED,
            LikelihoodRequest((1,), (2, 3)),
            LikelihoodRequest((1, 2), (4,)),
            WRITES,
            replace(WRITES, stop=()),
            replace(WRITES, max_new_tokens=9),
            replace(WRITES, temperature=0.6),
            replace(WRITES, top_p=0.9),
            replace(WRITES, seed=2),
        )
    }
    assert len(keys) == 9
    assert request_key("other weights", ASKED) not in keys
    assert request_key("weights", replace(ASKED, cut=5)) in keys  # what was cut is not asked
    greedy = replace(WRITES, temperature=0.0)
    assert request_key("w", greedy) == request_key("w", replace(greedy, seed=7))


def test_answers_are_there_again(tmp_path):
    store = Store(tmp_path / "new")
    store.put("a", {"text": "é \ud800"})
    store.put("a", {"text": "later"})  # the first one stays
    store.close()
    other = Store(tmp_path / "new", rank=1)
    assert other["a"] == {"text": "é \ud800"}
    other.put("b", 1)
    other.close()
    again = Store(tmp_path / "new")
    assert "a" in again
    assert again["b"] == 1
    again.close()


def test_a_line_that_was_cut_off_is_dropped_and_the_next_is_whole(tmp_path):
    store = Store(tmp_path)
    store.put("a", 1)
    store.put("b", 2)
    store.close()
    file = tmp_path / "answers.jsonl"
    whole = file.read_bytes()
    for length in range(len(whole) - 1):
        file.write_bytes(whole[:length])
        store = Store(tmp_path)
        assert "b" not in store
        store.put("c", 3)
        store.close()
        read = Store(tmp_path)
        assert read["c"] == 3
        assert ("a" in read) == (length >= whole.index(b"\n"))
        read.close()


def test_without_a_folder_answers_are_in_memory_alone():
    store = Store()
    store.put("a", 1)
    store.add({"a": 2, "b": 3})
    assert (store["a"], store["b"]) == (1, 3)
