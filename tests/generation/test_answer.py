"""Text out of tokens: whole characters, no special tokens, nothing after a stop word."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from tests.tiny import write_tiny_tokenizer
from xtune.generation.answer import Answer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return AutoTokenizer.from_pretrained(write_tiny_tokenizer(tmp_path_factory.mktemp("tok")))


def stream(tokenizer, ids, **stops) -> tuple[list[str], Answer]:
    answer = Answer(tokenizer, **stops)
    pieces = [answer.push(id_) for id_ in ids]
    return [*pieces, answer.finish()], answer


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd")))
def test_pieces_are_whole_characters_and_join_to_the_text(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False)
    pieces, answer = stream(tokenizer, ids)
    expected = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert "".join(pieces) == answer.text == expected
    assert not any("\ufffd" in piece for piece in pieces)


@settings(max_examples=200, deadline=None)
@given(
    text=st.text("ab<|x>é", max_size=30),
    words=st.lists(st.text("ab<|x>é", min_size=1, max_size=4), max_size=3),
)
def test_text_ends_before_the_first_stop_word(tokenizer, text, words):
    ids = tokenizer.encode(text, add_special_tokens=False)
    pieces, answer = stream(tokenizer, ids, stop_words=words)
    found = [at for word in words if (at := text.find(word)) >= 0]
    # Once a word is complete nothing more is read, so a longer word that began before it loses.
    assert "".join(pieces) == answer.text
    assert text.startswith(answer.text)
    assert answer.ended == bool(found)
    assert not any(word in answer.text for word in words)
    if not found:
        assert answer.text == text


def test_a_character_of_four_tokens_comes_at_once(tokenizer):
    ids = tokenizer.encode("a🦜b", add_special_tokens=False)
    assert len(ids) == 6
    pieces, _ = stream(tokenizer, ids)
    assert pieces == ["a", "", "", "", "🦜", "b", ""]


def test_half_a_character_at_the_end_is_not_shown(tokenizer):
    ids = tokenizer.encode("a🦜", add_special_tokens=False)[:-1]
    pieces, answer = stream(tokenizer, ids)
    assert pieces == ["a", "", "", "", ""]
    assert answer.text == "a"


def test_bytes_that_are_no_characters_do_not_hold_back_the_rest(tokenizer):
    lone = tokenizer.encode("🦜", add_special_tokens=False)[:1]
    pieces, answer = stream(tokenizer, lone * 12 + tokenizer.encode("ok"))
    assert answer.text.endswith("ok")
    assert "ok" not in pieces[-1]


def test_special_tokens_are_not_shown_and_a_stop_id_ends(tokenizer):
    start, end = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    hello = tokenizer.encode("hello", add_special_tokens=False)
    pieces, answer = stream(tokenizer, [start, *hello, end, *hello], stop_ids=[end])
    assert "".join(pieces) == "hello"
    assert answer.ended_by == "stop"
    assert answer.tokens == len(hello) + 2


def test_a_stop_word_in_pieces_is_held_back_then_cut(tokenizer):
    ids = tokenizer.encode("Yes.\nUser: and", add_special_tokens=False)
    pieces, answer = stream(tokenizer, ids, stop_words=["\nUser:"])
    assert "".join(pieces) == "Yes."
    assert answer.ended


def test_what_only_looked_like_a_stop_word_is_shown(tokenizer):
    ids = tokenizer.encode("Yes.\nUse", add_special_tokens=False)
    _, answer = stream(tokenizer, ids, stop_words=["\nUser:"])
    assert answer.text == "Yes.\nUse"
    assert answer.ended_by == "length"


def test_the_cost_of_a_token_does_not_grow(tokenizer, monkeypatch):
    decoded = []
    answer = Answer(tokenizer)
    plain = tokenizer.decode
    monkeypatch.setattr(
        tokenizer, "decode", lambda ids, **kwargs: decoded.append(len(ids)) or plain(ids, **kwargs)
    )
    for id_ in tokenizer.encode("a " * 500, add_special_tokens=False):
        answer.push(id_)
    assert max(decoded) <= 4


def test_a_transcript_marks_what_was_cut(tokenizer):
    ids = tokenizer.encode("ab", add_special_tokens=False)
    _, answer = stream(tokenizer, ids)
    assert answer.marked == f"ab [cut at {len(ids)} tokens]"
    _, ended = stream(tokenizer, ids, stop_words=["b"])
    assert ended.marked == "a"
