"""What a dialogue keeps, drops and saves."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny import write_tiny_llama
from xtune.chat.session import ChatSession, drop_oldest_turns
from xtune.errors import DataError, UsageError
from xtune.generation.model import ChatModel
from xtune.generation.settings import GenerationSettings

GREEDY = GenerationSettings(max_new_tokens=80)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A model with a context of 128 tokens, which answers anything with anything."""
    folder = write_tiny_llama(tmp_path_factory.mktemp("small"), max_position_embeddings=128)
    return ChatModel.load(str(folder), dtype="fp32")  # the same answers on every processor


def ignore(text):
    pass


def test_the_dialogue_goes_on(parrot):
    session = ChatSession(parrot, settings=GREEDY, system="")
    assert session.ask("Who are you?", ignore).text == "A parrot."
    assert session.messages == [
        {"role": "user", "content": "Who are you?"},
        {"role": "assistant", "content": "A parrot."},
    ]
    before = parrot.count_tokens(session.messages)
    session.ask("Bye", ignore)
    assert parrot.count_tokens(session.messages) > before


def test_a_new_system_prompt_keeps_the_dialogue_and_reset_keeps_the_system_prompt(parrot):
    session = ChatSession(parrot, settings=GREEDY, system="Be brief.")
    session.ask("Bye", ignore)
    session.system = "Be kind."
    assert [m["content"] for m in session.messages][:2] == ["Be kind.", "Bye"]
    session.reset()
    assert session.messages == [{"role": "system", "content": "Be kind."}]


def test_the_oldest_turns_go_when_the_context_is_full(small):
    notices = []
    session = ChatSession(
        small,
        settings=GenerationSettings(max_new_tokens=12),
        system="S",
        notice=notices.append,
    )
    for number in range(8):
        session.ask(f"request number {number}", ignore)
        assert small.count_tokens(session.messages) <= 128 + 12
    contents = [message["content"] for message in session.messages]
    assert contents[0] == "S"
    assert contents[-2] == "request number 7"
    assert "request number 0" not in contents
    assert [m["role"] for m in session.history] == ["user", "assistant"] * (len(contents) // 2)
    assert notices
    assert "the context of 128 tokens is full: forgot the oldest turn" in notices[0]


def test_a_message_longer_than_the_context_changes_nothing(small):
    session = ChatSession(small, settings=GREEDY, system="S")
    session.ask("a", ignore)
    before = session.messages
    with pytest.raises(UsageError, match=r"a prompt of \d+ tokens .* context is 128: shorten it"):
        session.ask("x " * 200, ignore)
    assert session.messages == before
    session.ask("b", ignore)


def test_an_interrupted_answer_stays_as_far_as_it_came(small):
    def interrupt(text):
        raise KeyboardInterrupt

    session = ChatSession(small, settings=GREEDY)
    answer = session.ask("a", interrupt)
    assert answer.ended_by == "interrupt"
    assert session.history[-1] == {"role": "assistant", "content": answer.text}


def test_an_answer_interrupted_before_its_first_word_leaves_no_turn(small, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(small.llm, "generate", interrupt)
    session = ChatSession(small, settings=GREEDY)
    assert session.ask("a", ignore).text == ""
    assert session.history == []


def test_a_saved_dialogue_is_a_row_of_training_data_and_loads_again(parrot, tmp_path):
    from xtune.data.map_fns.openai import openai_map_fn

    session = ChatSession(parrot, settings=GREEDY, system="Sé breve. 🦜")
    session.ask("Bye", ignore)
    session.save(tmp_path / "chat.json")
    row = json.loads((tmp_path / "chat.json").read_text(encoding="utf-8"))
    assert openai_map_fn(row)["messages"] == session.messages
    other = ChatSession(parrot, settings=GREEDY, system="another")
    other.load(tmp_path / "chat.json")
    assert other.messages == session.messages


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"messages": 3}',
        '{"messages": [{"role": "user"}]}',
        '{"messages": [{"role": "boss", "content": "x"}]}',
        '{"messages": [{"role": "user", "content": null}]}',
    ],
)
def test_a_file_that_is_no_dialogue_changes_nothing(parrot, tmp_path, text):
    (tmp_path / "no.json").write_text(text)
    session = ChatSession(parrot, settings=GREEDY, system="S")
    with pytest.raises(DataError, match=r"no\.json"):
        session.load(tmp_path / "no.json")
    assert session.messages == [{"role": "system", "content": "S"}]


ROLES = st.lists(st.sampled_from(["user", "assistant", "tool", "system"]), max_size=12)


@given(roles=ROLES, limit=st.integers(0, 14))
def test_what_is_dropped_is_whole_turns_from_the_front(roles, limit):
    messages = [{"role": role, "content": str(at)} for at, role in enumerate([*roles, "user"])]
    kept, dropped = drop_oldest_turns(messages, lambda some: len(some) <= limit)
    first_user = next(at for at, each in enumerate(messages) if each["role"] == "user")
    head, tail = kept[:first_user], kept[first_user:]
    assert head == messages[:first_user]
    assert tail == messages[len(messages) - len(tail) :]
    assert tail[0]["role"] == "user"
    gone = messages[first_user : len(messages) - len(tail)]
    assert sum(each["role"] == "user" for each in gone) == dropped
    one_turn = sum(each["role"] == "user" for each in kept) == 1
    assert len(kept) <= limit or one_turn
    if dropped:  # and no more than had to go
        starts = [at for at, each in enumerate(messages) if each["role"] == "user"]
        assert first_user + len(messages) - starts[dropped - 1] > limit
