"""Agents in threads of their own, answered in batches."""

from __future__ import annotations

import threading

import pytest

from tests.generation.conftest import parrot  # noqa: F401 - a fixture
from xtune.agents.local import LocalModel
from xtune.eval.agent_turns import TogetherModel
from xtune.generation.settings import GenerationSettings

TURNS = [["ab", "ba"], ["bbb"], ["a b a", "b", "aa"]]  # of each agent; the second leaves first


def asked(text):
    return [{"role": "user", "content": text}]


def together(chat, texts, replies, errors):
    model = TogetherModel(chat.llm, chat.tokenizer, count=len(texts), max_new_tokens=8)

    def pursue(at):
        try:
            replies[at] = [model.answer(asked(text), [], lambda _: None) for text in texts[at]]
        except RuntimeError as error:
            errors.append(error)
        finally:
            model.leave()

    threads = [threading.Thread(target=pursue, args=(at,)) for at in range(len(texts))]
    return model, threads


def test_each_gets_its_own_answer_and_all_that_wait_are_one_batch(parrot):  # noqa: F811
    replies, sizes = {}, []
    model, threads = together(parrot, TURNS, replies, [])
    answer = model._answer
    model._answer = lambda batch: (sizes.append(len(batch)), answer(batch))
    for thread in threads:
        thread.start()
    model.serve()
    for thread in threads:
        thread.join(timeout=30)
    alone = LocalModel(parrot, GenerationSettings(max_new_tokens=8, temperature=0.0))
    for at, texts in enumerate(TURNS):
        for text, reply in zip(texts, replies[at], strict=True):
            assert reply.message == alone.answer(asked(text), [], lambda _: None).message
    assert sizes == [3, 2, 1]


def test_a_batch_that_fails_ends_them_all(parrot):  # noqa: F811
    errors = []
    model, threads = together(parrot, TURNS, {}, errors)

    def fail(batch):
        raise ValueError("out of memory")

    model._answer = fail
    for thread in threads:
        thread.start()
    with pytest.raises(ValueError, match="out of memory"):
        model.serve()
    for thread in threads:
        thread.join(timeout=30)
    assert len(errors) == 3
