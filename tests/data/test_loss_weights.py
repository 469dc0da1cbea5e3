"""What part of an answer has which weight; tokens are the same with weights and without."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

import numpy as np
import pytest

from tests.data.test_tool_calls import WITH_TOOLS
from tests.golden.dialogues import DIALOGUES
from tests.golden.rendering import golden_names, golden_template
from xtune.data.dataset import SFTDataset
from xtune.data.fit import fit
from xtune.data.loss_weights import LossWeights
from xtune.data.streaming import StreamedSFTDataset
from xtune.data.tokenize import Encoder
from xtune.errors import ConfigError, DataError
from xtune.structures import Conversation, Span

KINDS = {"thought": 0.5, "call": 2.0, "answer": 3.0}
ASK = {"role": "user", "content": "Is it warm in Rome?"}


def weighted_text(name, conversation, weights=KINDS):
    """The trained text of a conversation by weight, in order."""
    template, tokenizer = golden_template(name)
    samples = template.samples_of(conversation)
    made = []
    plain = Encoder(tokenizer)(samples)
    weighed = Encoder(tokenizer, weigh=LossWeights(weights, template))(samples)
    for without, sample in zip(plain, weighed, strict=True):
        assert without.weights is None
        assert np.array_equal(sample.input_ids, without.input_ids)
        assert np.array_equal(sample.labels, without.labels)
        tokens = zip(sample.input_ids, sample.labels, sample.weights, strict=True)
        for (trained, weight), group in groupby(tokens, lambda t: (t[1] >= 0, float(t[2]))):
            if trained:
                made.append((weight, tokenizer.decode([token for token, *_ in group])))
    return made


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_calls_thoughts_and_answers_of_each_template(name):
    arguments = {"function": {"name": "weather", "arguments": {"city": "Rome"}}}
    said = "" if name == "two_ends" else "I look it up."  # it writes no text with a call
    call = {"role": "assistant", "content": said, "tool_calls": [arguments]}
    result = {"role": "tool", "content": "19 degrees"}
    answer = {"role": "assistant", "content": "It is."}
    tools = DIALOGUES["tools"]["tools"]
    made = weighted_text(name, {"tools": tools, "messages": [ASK, call, result, answer]})
    by_kind = dict.fromkeys(KINDS.values(), "")
    for weight, text in made:
        by_kind[weight] += text
    assert said in by_kind[0.5]
    assert "weather" in by_kind[2.0]
    assert "Rome" in by_kind[2.0]
    assert "It is." in by_kind[3.0]
    assert not any(word in by_kind[0.5] + by_kind[3.0] for word in ("weather", "Rome"))
    assert not any(word in by_kind[2.0] for word in ("look", "It is."))


@pytest.mark.parametrize("name", ["qwen3", "deepseek_r1"])
def test_reasoning_is_a_thought(name):
    made = weighted_text(name, {"messages": DIALOGUES["reasoning"]["messages"][:2]})
    assert [weight for weight, _ in made] == [0.5, 3.0]
    assert "2 and 2." in made[0][1]
    assert made[1][1].startswith("Four.")


@pytest.mark.parametrize(
    "weighted",
    [
        "0.5 Thought: a\n|2.0 Action: b\nAction Input: {}",
        "0.5 Thought: a\n|3.0 Final Answer: b",
        "3.0 Thought: a\nAction: Finish\nAction Input: {}",
        "0.5 I look.\n|2.0 <~startofthink~>{}<~endofthink~>",
        '2.0 {"name": "x", "arguments": {}}',
        '3.0 {"name": "x"}',
        '0.5 <~Inner Thoughts~>: a<eot>\n|2.0 <~Commands~>: B("c")<eoc>',
    ],
)
def test_calls_that_are_plain_text(weighted):
    parts = [(float(part[:3]), part[4:].replace("~", "|")) for part in weighted.split("|")]
    text = "".join(part for _, part in parts)
    template, _ = golden_template("smollm2")
    (span,) = LossWeights(KINDS, template)([Span(text, True)])
    found, at = [], 0
    for characters, weight in span.weights:
        found.append((weight, text[at : at + characters]))
        at += characters
    assert found == parts


def test_a_messages_weight_multiplies_and_nothing_is_kept_where_all_are_one():
    messages = [ASK, {"role": "assistant", "content": "It is.", "weight": 0.5}]
    template, tokenizer = golden_template("chatml")
    weigh = LossWeights(KINDS, template)
    (sample,) = Encoder(tokenizer, weigh=weigh)([template.spans({"messages": messages})])
    assert set(sample.weights[sample.labels >= 0].tolist()) == {1.5}
    weigh = LossWeights({"answer": 2.0}, template)
    (sample,) = Encoder(tokenizer, weigh=weigh)([template.spans({"messages": messages})])
    assert sample.weights is None


@pytest.mark.parametrize("name", golden_names())
def test_weight_zero_is_a_mask(name):
    template, tokenizer = golden_template(name)
    two: Conversation = DIALOGUES["one turn"]
    question, answer = two["messages"]
    dialogue = [question, {**answer, "weight": 0.0}, question, answer]
    masked = [question, {**answer, "loss": False}, question, answer]
    made = Encoder(tokenizer)([template.samples_of({"messages": dialogue})[-1]])[0]
    expected = Encoder(tokenizer)([template.samples_of({"messages": masked})[-1]])[0]
    assert np.array_equal(made.input_ids, expected.input_ids)
    assert np.array_equal(made.labels, expected.labels)
    assert made.weights is None


def rows():
    return [
        {"messages": [ASK, {"role": "assistant", "content": "It is. " * (n + 1), **more}]}
        for n, more in enumerate([{}, {"weight": 2}, {}, {"weight": 0.25}])
    ]


def dataset(path, tokenizer, cls=SFTDataset, **more):
    settings = {"map_fn": "openai", "template": "chatml", "max_length": 64, **more}
    return cls(data_path=path, tokenizer=tokenizer, **settings)


def test_weights_go_through_cache_and_packs(tokenizer, write_rows, own_cache):
    path = write_rows(rows())
    data = dataset(path, tokenizer)
    again = dataset(path, tokenizer)  # from the cache
    for made in (data, again):
        assert [float(made.sample(n).weights[-1]) for n in range(4)] == [1.0, 2.0, 1.0, 0.25]
    packs = [data.batch([index]) for index in range(len(data))]
    assert len(packs) < 4
    alone = dataset(path, tokenizer, pack_to_max_length=False)
    singles = [alone.batch([index]) for index in range(4)]
    assert sum(b.trained_weight for b in packs) == sum(b.trained_weight for b in singles)
    for batch in packs:  # a weight stands where its label does
        sample = data.sample(batch.samples[0])
        assert batch.weights[0, : len(sample) - 1].tolist() == sample.weights[1:].tolist()
    (window,) = [next(dataset(path, tokenizer, StreamedSFTDataset).windows())]
    assert [None if s.weights is None else float(s.weights[-1]) for s in window.samples] == [
        None, 2.0, None, 0.25]  # fmt: skip


def test_off_costs_no_array(tokenizer, write_rows, own_cache):
    plain = [{"messages": row["messages"][:1] + [{**row["messages"][1], "weight": 1}]}
             for row in rows()]  # fmt: skip
    data = dataset(write_rows(plain), tokenizer)
    assert not list(own_cache.glob("*/weights.bin"))
    assert data.batch([0]).weights is None


def test_kinds_make_another_cache(tokenizer, write_rows, own_cache):
    path = write_rows(rows())
    dataset(path, tokenizer)
    data = dataset(path, tokenizer, loss_weights={"answer": 3.0})
    assert len([folder for folder in own_cache.iterdir() if folder.is_dir()]) == 2
    assert float(data.sample(0).weights[-1]) == 3.0


def test_what_is_cut_keeps_its_weights():
    template, tokenizer = golden_template("chatml")
    answer = {"role": "assistant", "content": "It is warm. " * 20, "weight": 2.0}
    dialogue = {"messages": [{"role": "user", "content": "Rome? " * 9}, answer]}
    encode = Encoder(tokenizer)
    samples = encode([template.spans(dialogue)])
    (cut,) = fit(dialogue, samples, template=template, encode=encode, max_length=120,
                 cut=Counter())  # fmt: skip
    assert len(cut.weights) == len(cut) == 120
    assert set(cut.weights[cut.labels >= 0].tolist()) == {2.0}


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"calls": 2}, "no kind 'calls'; did you mean 'call'"),
        ({"call": -1}, "must be 0 or more, not -1"),
        ({"call": "2"}, "must be 0 or more, not '2'"),
        ({"call": float("nan")}, "must be 0 or more, not nan"),
        ("dict(call=2)", "must be a dict such as"),
    ],
)
def test_weights_that_cannot_be_are_refused(weights, said, tokenizer, write_rows):
    with pytest.raises(ConfigError, match=said):
        dataset(write_rows(rows()), tokenizer, loss_weights=weights)


@pytest.mark.parametrize("weight", [-1, "2", [1]])
def test_a_messages_weight_that_cannot_be_is_refused(weight, tokenizer, write_rows):
    row = {"messages": [ASK, {"role": "assistant", "content": "It is.", "weight": weight}]}
    with pytest.raises(DataError, match="the 'weight' of message 2 must be 0 or more"):
        dataset(write_rows([row]), tokenizer)


def test_of_plain_text_no_part_is_an_answer(tokenizer, write_rows):
    with pytest.raises(DataError, match="loss_weights are of answers"):
        dataset(write_rows([{"text": "a"}]), tokenizer, map_fn="pretrain", loss_weights={"call": 2})


def test_weights_of_1_are_none_also_where_no_part_is_an_answer(tokenizer, write_rows):
    ones = {"thought": 1.0, "call": 1.0, "answer": 1.0}
    made = dataset(write_rows([{"text": "a b"}]), tokenizer, map_fn="pretrain", loss_weights=ones)
    assert made.sample(0).weights is None
