"""Which token is next, by hand."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest
import torch

from tests.data.tiny_tokenizer import tiny_tokenizer
from xtune.generation.answer import Answer
from xtune.generation.row import Row, _kept, next_tokens
from xtune.generation.settings import GenerationSettings

SHARES = [0.1, 0.4, 0.2, 0.3]  # of tokens 0 to 3; in order of size: 1, 3, 2, 0


def row(prompt=(0,), **settings):
    return Row(prompt, partial(Answer, tiny_tokenizer()), GenerationSettings(**settings))


def logits(shares=SHARES):
    return torch.tensor([shares]).log()


def test_at_temperature_0_the_likeliest():
    assert next_tokens(logits(), [row()]) == [1]


@pytest.mark.parametrize(
    ("settings", "likely"),
    [
        ({}, {1: 0.4, 3: 0.3, 2: 0.2, 0: 0.1}),
        ({"top_k": 2}, {1: 4 / 7, 3: 3 / 7}),
        ({"top_p": 0.65}, {1: 4 / 7, 3: 3 / 7}),  # 0.4 is not enough, 0.7 is
        ({"top_p": 0.3}, {1: 1.0}),
        ({"top_k": 3, "top_p": 0.5}, {1: 4 / 7, 3: 3 / 7}),  # of the three: 4/9, 7/9
        ({"temperature": 0.5}, {1: 16 / 30, 3: 9 / 30, 2: 4 / 30, 0: 1 / 30}),  # squares
    ],
)
def test_each_token_is_drawn_as_often_as_its_share_says(settings, likely):
    count = 1000
    rows = [row(**({"temperature": 1.0} | settings), seed=seed) for seed in range(count)]
    drawn = Counter(next_tokens(logits().repeat(count, 1), rows))
    assert set(drawn) == set(likely)
    for token, share in likely.items():
        spread = (share * (1 - share) / count) ** 0.5
        assert abs(drawn[token] / count - share) <= 4 * spread


def test_the_second_token_is_drawn_by_other_dice():
    pairs = set()
    for seed in range(40):
        sampled = row(temperature=1.0, seed=seed)
        pairs.add(tuple(next_tokens(logits(), [sampled])[0] for _ in range(2)))
    assert len(pairs) > 8


def test_a_hair_in_all_logits_changes_no_draw():
    dice = torch.Generator().manual_seed(1)
    raw = torch.randn(200, 20_000, generator=dice)  # a long tail: no token has a hundredth
    hair = 1e-6 * torch.randn(200, 20_000, generator=dice)
    drawn = [
        next_tokens(raw + more, [row(temperature=1.0, seed=seed) for seed in range(200)])
        for more in (0, hair)
    ]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) > 100


def test_what_was_said_is_less_likely_with_a_penalty_and_padding_was_not_said():
    raw = torch.tensor([[2.0, 1.9, -1.0, -1.1]])
    assert next_tokens(raw.clone(), [row((0,))]) == [0]
    penalized = row((0,), repetition_penalty=1.2)
    assert next_tokens(raw.clone(), [penalized]) == [1]  # 2.0 / 1.2 = 1.67
    penalized.push(1)  # 1.9 / 1.2 = 1.58
    assert next_tokens(raw.clone(), [penalized]) == [0]
    only_bad = torch.tensor([[-torch.inf, -torch.inf, -1.0, -1.1]])
    assert next_tokens(only_bad.clone(), [row((2,), repetition_penalty=1.2)]) == [3]  # -1.0 * 1.2


def test_rows_of_one_pass_have_settings_of_their_own():
    both = logits().repeat(3, 1)
    sampled = row(temperature=1.0, seed=5)
    alone = next_tokens(logits(), [row(temperature=1.0, seed=5)])
    assert (
        next_tokens(both, [row(), sampled, row(repetition_penalty=9.0, prompt=(1,))])[1] == alone[0]
    )


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("spread", [0.0, 0.5, 3.0])
def test_what_is_kept_of_the_likeliest_is_what_is_kept_of_all(rounded, spread):
    raw = torch.randn(160, 2000, generator=torch.Generator().manual_seed(1)) * spread
    if rounded:
        raw = raw.round(decimals=1)  # many are equally likely
    settings = [
        {"top_p": 0.9},
        {"top_p": 0.2},
        {"top_k": 5},
        {"top_k": 300},
        {"top_k": 40, "top_p": 0.75},
        {"temperature": 0.3, "top_p": 0.5},
        {"top_k": 1},
        {"top_k": 5000},
    ]
    rows = [row(**({"temperature": 1.0} | settings[at % 8]), seed=at) for at in range(160)]
    kept = _kept(raw, rows)
    for at, each in enumerate(rows):
        ranked = raw[at].sort(descending=True, stable=True).indices.tolist()
        ranked = ranked[: each.settings.top_k or 2000]
        shares = (raw[at, ranked].double() / each.settings.temperature).softmax(-1)
        before = shares.cumsum(-1) - shares
        expected = {
            token for token, sum_ in zip(ranked, before, strict=True) if sum_ < each.settings.top_p
        }
        assert set(kept[at].nonzero()[:, 0].tolist()) == expected


def test_what_the_answer_has_costs_by_presence_and_by_each_time():
    raw = torch.tensor([[2.0, 1.9, 1.0, 0.0]])
    by_presence = row((0,), presence_penalty=0.5)
    assert next_tokens(raw.clone(), [by_presence]) == [0]  # the prompt's tokens cost nothing
    by_presence.push(0)  # 2.0 - 0.5
    assert next_tokens(raw.clone(), [by_presence]) == [1]
    by_presence.push(1)
    assert next_tokens(raw.clone(), [by_presence]) == [0]
    by_presence.push(0)  # 1.5 once more: presence is counted once
    assert next_tokens(raw.clone(), [by_presence]) == [0]
    by_times = row((3,), frequency_penalty=0.4)
    said = []
    for _ in range(6):
        said += next_tokens(raw.clone(), [by_times])
        by_times.push(said[-1])
    assert said == [0, 1, 0, 1, 0, 1]  # 2.0 1.9 1.6 1.5 1.2 1.1, and then 0.8 is below 1.0
    assert next_tokens(raw.clone(), [by_times]) == [2]


def test_how_likely_tokens_were_is_noted_before_temperature_and_penalties():
    noting = Row(
        (1,),
        partial(Answer, tiny_tokenizer()),
        GenerationSettings(temperature=1.0, top_k=1, repetition_penalty=9.0, seed=0),
        alternatives=2,
    )
    assert next_tokens(torch.tensor([[0.0, 1.0, 0.5]]), [noting]) == [2]
    (noted,) = noting.noted
    total = torch.tensor([0.0, 1.0, 0.5]).exp().sum().log().item()
    assert noted.token == 2
    assert noted.log_probability == pytest.approx(0.5 - total)
    assert [token for token, _ in noted.others] == [1, 2]
    assert noted.others[0][1] == pytest.approx(1.0 - total)


def test_a_guide_forbids_tokens():
    class OnlyOdd:
        def allowed(self, raw):
            return torch.where(torch.arange(len(raw)) % 2 == 1, raw, -torch.inf)

        def push(self, token):
            pushed.append(token)

    pushed: list[int] = []
    guided = Row((0,), partial(Answer, tiny_tokenizer()), GenerationSettings(), guide=OnlyOdd())
    assert next_tokens(torch.tensor([[5.0, 1.0, 4.0, 2.0]]), [guided]) == [3]
    guided.push(3)
    assert pushed == [3]


def test_a_row_that_is_left_is_done():
    left = row()
    assert not left.done
    left.leave()
    assert left.done
    assert left.answer.ended_by == "interrupt"
