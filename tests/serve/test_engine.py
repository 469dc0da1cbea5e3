"""Each client gets the answer that it would get alone, whoever else is there."""

from __future__ import annotations

import queue
import random

import pytest
import torch

from tests.serve.conftest import eventually
from xtune.generation.cache_form import bytes_per_token
from xtune.generation.settings import GenerationSettings
from xtune.models import load_adapter, load_model
from xtune.serve.engine.local import LocalEngine
from xtune.serve.engine.questions import Broken, Busy, End, Piece, Question, Refused

GREEDY = GenerationSettings(max_new_tokens=24)


def sampled(seed: int, tokens: int = 24) -> GenerationSettings:
    return GenerationSettings(max_new_tokens=tokens, temperature=1.3, top_p=0.95, seed=seed)


def ask(engine, *questions):
    """The events of some questions."""
    events: queue.Queue = queue.Queue()
    ticket = engine.ask(questions, events.put)
    ends, got = 0, []
    while ends < len(questions):
        event = events.get(timeout=60)
        got.append(event)
        ends += isinstance(event, End | Broken)
    return ticket, got


def text_of(events, index=0) -> str:
    return "".join(e.text for e in events if not isinstance(e, Broken) and e.index == index)


@pytest.fixture
def engine(talker):
    engines = []

    def make(**settings):
        engines.append(LocalEngine(talker, **{"cached_tokens": 20_000, **settings}))
        return engines[-1]

    yield make
    for each in engines:
        each.close()


def prompts(count: int) -> list[tuple[int, ...]]:
    dice = random.Random(0)
    shots = tuple(range(10, 40))
    return [
        (shots if number % 2 else ()) + tuple(dice.choices(range(3, 380), k=dice.randint(1, 40)))
        for number in range(count)
    ]


def test_the_same_seed_gives_the_same_answer_at_1_and_at_32_streams(engine):
    questions = [
        Question(model, prompt, sampled(number) if number % 3 else GREEDY)
        for number, prompt in enumerate(prompts(32))
        for model in [("base", "red", "blue")[number % 3]]
    ]
    one = engine(slots=1)
    alone = [text_of(ask(one, question)[1]) for question in questions]
    _, together = ask(engine(slots=32, prompt_tokens=16), *questions)
    assert [text_of(together, at) for at in range(32)] == alone
    assert len(set(alone)) > 25


def test_adapters_answer_as_they_would_alone(engine, talker, talker_folder):
    prompt = tuple(range(40, 60))
    expected = {}
    for name in ("base", "red", "blue"):
        llm = load_model(str(talker_folder / "base"), dtype="fp32")
        if name != "base":
            llm = load_adapter(llm, talker_folder / name)
        llm.eval()
        with torch.no_grad():
            ids = llm.generate(
                input_ids=torch.tensor([prompt]),
                max_new_tokens=12,
                do_sample=False,
                eos_token_id=-1,
                pad_token_id=0,
            )
        expected[name] = ids[0, len(prompt) :].tolist()
    questions = [Question(name, prompt, GenerationSettings(max_new_tokens=12)) for name in expected]
    _, events = ask(engine(), *questions)
    for at, ids in enumerate(expected.values()):
        got = [e.token for e in events if isinstance(e, Piece) and e.index == at]
        assert got == ids[: len(got)]
        assert len(got) == 12 or got[-1] in talker.models["base"].stop_ids
    assert len(set(map(tuple, expected.values()))) == 3


def test_rows_that_find_no_memory_wait_and_are_given_back_and_answer_alike(engine):
    questions = [
        Question("red", prompt, sampled(number, 150)) for number, prompt in enumerate(prompts(8))
    ]
    _, roomy = ask(engine(), *questions)
    tight = engine(cached_tokens=450)
    _, narrow = ask(tight, *questions)
    assert [text_of(narrow, at) for at in range(8)] == [text_of(roomy, at) for at in range(8)]
    assert tight.counts()["rows_given_back_total"] > 0


def test_however_many_ask_no_more_is_held_than_was_admitted(engine, talker):
    """Held: the rows with their reserve, a quarter or 64 columns, and a quarter of what is kept."""
    limit = 1500
    one = engine(cached_tokens=limit, slots=32)
    bytes_of_one = bytes_per_token(talker.switch.llm)
    held, rows = [], []

    def note(module, args):
        groups = list(one._groups.values())
        held.append(sum(group.cache_bytes for group in groups))
        rows.append(one._held())

    questions = [
        Question(("base", "red")[at % 2], prompt, GenerationSettings(max_new_tokens=40))
        for at, prompt in enumerate(prompts(104))
    ]
    hook = talker.switch.llm.get_input_embeddings().register_forward_pre_hook(note)
    try:
        _, events = ask(one, *questions)
    finally:
        hook.remove()
    assert sum(isinstance(event, End) for event in events) == 104
    slack = 2 * (limit // 4) + 64 * 32  # the last that was read; a column more of each row
    assert max(rows) <= limit + slack
    assert max(held) <= (1.25 * limit + 2 * 64 * 32) * bytes_of_one
    assert one.counts()["rows_waiting"] == 0


def test_a_long_prompt_is_read_in_pieces_between_the_tokens_of_the_others(engine, talker):
    order = []
    long = Question("base", tuple(range(3, 303)), GenerationSettings(max_new_tokens=1))
    short = Question("base", (5, 6, 7), GenerationSettings(max_new_tokens=200))
    shapes = []
    hook = talker.switch.llm.get_input_embeddings().register_forward_pre_hook(
        lambda module, args: shapes.append(tuple(args[0].shape))
    )
    try:
        _, order = ask(engine(prompt_tokens=32), short, long)
    finally:
        hook.remove()
    assert max(tokens for _, tokens in shapes) == 32
    assert sum(tokens for _, tokens in shapes if tokens > 1) >= 300
    ends = [e.index for e in order if isinstance(e, End)]
    before = order.index(next(e for e in order if e.index == 1))
    assert sum(e.index == 0 for e in order[:before]) >= 9  # a token for each piece
    assert sorted(ends) == [0, 1]


def test_who_leaves_frees_the_row_within_one_step(engine):
    one = engine(slots=1)
    events: queue.Queue = queue.Queue()
    endless = Question("base", (5, 6, 7), GenerationSettings(max_new_tokens=1500))
    ticket = one.ask([endless], events.put)
    events.get(timeout=60)
    ticket.leave()
    _, after = ask(one, Question("base", (8, 9), GenerationSettings(max_new_tokens=2)))
    assert isinstance(after[-1], End)
    seen = [events.get() for _ in range(events.qsize())]
    assert isinstance(seen[-1], End)
    assert seen[-1].ended_by == "interrupt"
    assert seen[-1].tokens < 1400
    assert eventually(lambda: one.counts()["rows_running"] == 0)


def test_more_than_may_wait_are_refused_with_a_time_to_come_back(engine):
    one = engine(slots=1, waiting=1)
    endless = Question("base", (5, 6, 7), GenerationSettings(max_new_tokens=1500))
    tickets = [one.ask([endless], lambda event: None) for _ in range(2)]
    with pytest.raises(Busy, match="ask again later") as refused:
        one.ask([endless], lambda event: None)
    assert 1 <= refused.value.retry_after <= 60
    for ticket in tickets:
        ticket.leave()
    assert eventually(lambda: one.counts()["rows_waiting"] + one.counts()["rows_running"] == 0)
    _, events = ask(one, Question("base", (5, 6), GenerationSettings(max_new_tokens=1)))
    assert isinstance(events[-1], End)


def test_a_dialogue_that_goes_on_is_not_read_again(engine):
    one = engine()
    prompt = tuple(range(40, 100))
    _, first = ask(one, Question("base", prompt, GREEDY))
    answer = tuple(e.token for e in first if isinstance(e, Piece))
    _, second = ask(one, Question("base", prompt + answer + (7, 8, 9), GREEDY))
    assert second[-1].known == len(prompt) + len(answer) - 1  # its last token was never read
    _, of_another = ask(one, Question("red", prompt, GREEDY))
    assert of_another[-1].known == 0
    _, again = ask(one, Question("base", prompt, GREEDY))
    assert text_of(again) == text_of(first)
    assert again[-1].known == len(prompt) - 1


def test_a_step_that_fails_breaks_its_own_rows_and_the_engine_goes_on(engine, talker):
    one = engine()

    def fail(module, args):
        raise RuntimeError("no such thing")

    hook = talker.switch.llm.get_input_embeddings().register_forward_pre_hook(fail)
    try:
        _, events = ask(one, Question("base", (5, 6), GREEDY))
    finally:
        hook.remove()
    assert [type(event) for event in events] == [Broken]
    assert "RuntimeError" in events[0].message
    _, events = ask(one, Question("base", (5, 6), GREEDY))
    assert isinstance(events[-1], End)


def test_answers_go_on_while_many_texts_are_embedded(engine):
    """Text by text, between two tokens; and no further once who asked has left."""
    one = engine()
    texts = [tuple(range(3, 300))] * 400
    many = one.embed("red", texts)
    few = one.embed("base", [(5, 6, 7), (8,)])
    _, events = ask(one, Question("base", prompts(1)[0], sampled(1, 6)))
    assert isinstance(events[-1], End)
    vectors = few.result(timeout=60)  # which do not wait for the many either
    assert not many.done()
    assert many.cancel()
    assert [round(sum(x * x for x in vector), 4) for vector in vectors] == [1, 1]
    assert one.counts()["embedded_tokens_total"] < 297 * len(texts) / 2
    with pytest.raises(IndexError):
        one.embed("base", [(99_999,)]).result(timeout=60)
    assert one.embed("base", [(5, 6, 7), (8,)]).result(timeout=60) == vectors
    left = one.embed("red", texts)
    one.close()
    with pytest.raises(Refused, match="the server is ending"):
        left.result(timeout=60)
