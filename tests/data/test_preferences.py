"""Pairs of answers: one group each, cut, cached, packed and shown as one."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.tiny_tokenizer import tiny_tokenizer
from xtune.data.collate import collate, filler
from xtune.data.dataset import SFTDataset
from xtune.data.fit import fit_group
from xtune.data.formats import all_formats, kind_of
from xtune.data.groups import as_group, bounds_of
from xtune.data.judged import answers_of, judged_together
from xtune.data.map_fns.base import UnusableRow
from xtune.data.packs import Packs
from xtune.data.preferences import PreferenceDataset, StreamedPreferenceDataset
from xtune.data.report import DataReport
from xtune.data.row_reading import JUDGED
from xtune.data.templates import build_template
from xtune.data.tokenize import Encoder
from xtune.engine.build import build_datasets
from xtune.errors import ConfigError, DataError
from xtune.parallel.sequence import SequenceGroup
from xtune.parallel.slices import group_numbers, slice_of
from xtune.parallel.world import World
from xtune.structures import IGNORE_INDEX, Sample

TOKENIZER = tiny_tokenizer()
TEMPLATE = build_template("chatml", TOKENIZER)
ENCODE = Encoder(TOKENIZER)
LONG = "weather " * 30  # 31 tokens


def rows_of(count):
    return [
        {
            "prompt": f"What is {n} and {n}?",
            "chosen": f"It is {2 * n}." * (n % 3 + 1),
            "rejected": f"It is {n}." * (n % 2 + 1),
        }
        for n in range(1, count + 1)
    ]


@pytest.fixture
def make(write_rows):
    def make_dataset(rows=None, kind=PreferenceDataset, **arguments):
        given = {
            "map_fn": "preference",
            "template": "chatml",
            "max_length": 128,
            "tokenizer": TOKENIZER,
            **arguments,
        }
        if "data_path" not in given:
            given["data_path"] = write_rows(rows_of(20) if rows is None else rows)
        return kind(**given)

    return make_dataset


def text(sample) -> str:
    return TOKENIZER.decode(sample.input_ids)


def answer(sample) -> str:
    return TOKENIZER.decode(sample.input_ids[sample.labels != IGNORE_INDEX])


def prompt(sample) -> list[int]:
    return sample.input_ids[: np.argmax(sample.labels != IGNORE_INDEX)].tolist()


def same(one, other) -> bool:
    return (
        np.array_equal(one.input_ids, other.input_ids)
        and np.array_equal(one.labels, other.labels)
        and one.per_document == other.per_document
    )


def test_a_row_becomes_its_two_sides(make):
    dialogue = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "2 and 2?"},
    ]
    made = make([{"prompt": dialogue, "chosen": "Four.", "rejected": "Five."}], system="Be brief.")
    better, worse = made.sample(0), made.sample(1)
    before = (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\n2 and 2?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert text(better) == before + "Four.<|im_end|>"
    assert text(worse) == before + "Five.<|im_end|>"
    # The answer in the prompt is not trained
    assert (answer(better), answer(worse)) == ("Four.<|im_end|>", "Five.<|im_end|>")
    batch = made.batch([0])
    assert batch.samples == (0, 1)
    assert batch.cu_seqlens.tolist() == [0, len(better), len(better) + len(worse)]
    assert batch.per_document["side"].tolist() == [0, 1]


@pytest.mark.parametrize(
    "form",
    [f for f in all_formats().values() if kind_of(f.becomes) in JUDGED["pairs"]],
    ids=lambda form: form.name,
)
def test_every_format_of_pairs_is_read(make, form):
    made = make([form.row], map_fn=form.name, max_length=2048)
    assert (made.report.rows, made.report.kept, made.report.groups) == (1, 1, 1)
    for side, said in enumerate(answers_of(form.becomes)):
        sample = made.sample(side)
        assert sample.per_document["side"] == side
        assert said[-1]["content"].strip() in answer(sample)
    assert prompt(made.sample(0)) == prompt(made.sample(1))


def test_the_formats_of_pairs_are_not_none():
    found = [f.name for f in all_formats().values() if kind_of(f.becomes) == "preference pair"]
    assert {"preference", "hh_rlhf", "intel_orca_dpo", "orpo_dpo_mix_40k"} <= set(found)


def test_groups_and_samples_are_counted(make):
    report = make().report
    assert (report.rows, report.kept, report.samples, report.groups) == (20, 20, 40, 20)
    assert report.answers == report.ended_answers == 40
    assert "samples   40 in 20 groups" in report.lines()
    assert report.failures == []


def test_rows_without_a_pair_are_dropped_with_their_reason(make):
    rows = [
        *rows_of(2),
        {"prompt": "2?", "chosen": "a", "rejected": "a"},
        {"prompt": "2?", "chosen": "a", "rejected": ""},
        {"prompt": "2?", "chosen": LONG * 2, "rejected": LONG * 3},
    ]
    report = make(rows).report
    assert report.dropped == {
        "chosen and rejected are the same": 1,
        "empty answer": 1,
        "the answers to one prompt are together longer than max_length": 1,
    }
    assert (report.kept, report.groups, report.samples) == (2, 2, 4)


def test_sides_that_a_template_writes_alike_are_no_pair(make):
    def trimmed(row):
        return {
            "prompt": [{"role": "user", "content": "2?"}],
            "chosen": [{"role": "assistant", "content": "Two."}],
            "rejected": [{"role": "assistant", "content": "Two." + row["more"]}],
        }

    jinja = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    trims = tiny_tokenizer(chat_template=jinja)
    rows = [{"more": "  "}, {"more": " No."}]
    report = make(rows, map_fn=trimmed, template="auto", tokenizer=trims).report
    assert report.dropped == {"chosen and rejected are the same tokens": 1}
    assert report.groups == 1


def test_an_answer_that_the_template_writes_in_several_samples_is_no_side(make):
    jinja = (  # only the last answer is written, as earlier reasoning often is not
        "{% for m in messages %}{% if m.role != 'assistant' or loop.last %}<|im_start|>"
        "{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    turns = [
        {"role": "assistant", "content": "One?"},
        {"role": "user", "content": "Go on."},
        {"role": "assistant", "content": "Two."},
    ]
    rows = [
        {"prompt": "2?", "chosen": turns, "rejected": "No."},
        {"prompt": "2?", "chosen": "Two.", "rejected": "No."},
    ]
    report = make(rows, template="auto", tokenizer=tiny_tokenizer(chat_template=jinja)).report
    assert report.dropped == {
        "the template cannot write an answer of several messages as one text": 1
    }
    assert report.groups == 1


def sides_of(pair):
    return [one.conversation for one in judged_together(pair)[0]]


def fitted(pair, max_length):
    conversations = sides_of(pair)
    samples = [ENCODE([TEMPLATE.spans(one)])[0] for one in conversations]
    cut = Counter()
    sides = fit_group(
        conversations, samples, template=TEMPLATE, encode=ENCODE, max_length=max_length, cut=cut
    )
    return sides, cut


def pair_of(turns, better, worse, *, system=None):
    messages = [{"role": "system", "content": system}] if system else []
    for number, content in enumerate(turns):
        messages.append({"role": ("user", "assistant")[number % 2], "content": content})
    return {
        "prompt": messages,
        "chosen": [{"role": "assistant", "content": better}],
        "rejected": [{"role": "assistant", "content": worse}],
    }


def test_the_same_oldest_turns_go_of_both_sides():
    turns = [LONG, "One.", LONG, "Two.", "And?"]
    (better, worse), cut = fitted(pair_of(turns, "Four.", "No. " * 9, system="Be brief."), 110)
    kept = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nAnd?<|im_end|>\n"
    assert text(better) == f"{kept}<|im_start|>assistant\nFour.<|im_end|>"
    assert TOKENIZER.decode(prompt(worse)) == f"{kept}<|im_start|>assistant\n"
    assert cut == {"oldest turns cut": 2}


def test_the_prompt_is_cut_alike_and_the_answers_stay_whole():
    (better, worse), cut = fitted(pair_of([LONG + "What now?"], "Four.", "No."), 60)
    assert len(better) + len(worse) in (59, 60)
    assert prompt(better) == prompt(worse)
    assert (answer(better), answer(worse)) == ("Four.<|im_end|>", "No.<|im_end|>")
    assert "What now?<|im_end|>\n<|im_start|>assistant\n" in text(better)
    assert cut == {"prompt cut": 1}


def test_turns_within_the_answers_do_not_go():
    """Only what comes before the first answer is asked of both."""
    pair = pair_of([LONG, "One.", "And?"], "Two.", "No.")
    pair["chosen"] += [{"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Y."}]
    pair["rejected"] += [{"role": "user", "content": "No?"}, {"role": "assistant", "content": "N."}]
    whole, _ = fitted(pair, 1000)
    (better, worse), cut = fitted(pair, sum(map(len, whole)) - 1)
    assert cut == {"oldest turns cut": 1}
    assert "And?" in TOKENIZER.decode(prompt(better))
    assert answer(better) == answer(whole[0])
    assert answer(worse) == answer(whole[1])


def test_prompts_that_differ_are_no_prompt():
    pair = pair_of(["2?"], "Two.", "No.")
    one, other = sides_of(pair), sides_of(pair_of(["3?"], "Two.", "No."))
    conversations = [one[0], other[1]]
    samples = [ENCODE([TEMPLATE.spans(each)])[0] for each in conversations]
    with pytest.raises(UnusableRow, match="does not write the prompt alike"):
        fit_group(
            conversations,
            samples,
            template=TEMPLATE,
            encode=ENCODE,
            max_length=1000,
            cut=Counter(),
        )


WORDS = st.integers(1, 12).map(lambda count: "weather " * count + "?")


@settings(max_examples=60, deadline=None)
@given(
    turns=st.integers(0, 3).flatmap(
        lambda count: st.lists(WORDS, min_size=2 * count + 1, max_size=2 * count + 1)
    ),
    better=WORDS,
    worse=WORDS,
    system=st.sampled_from([None, "Be brief."]),
    max_length=st.integers(10, 200),
)
def test_both_sides_answer_the_same_tokens_whatever_is_cut(
    turns, better, worse, system, max_length
):
    pair = pair_of(turns, better, worse, system=system)
    try:
        sides, _ = fitted(pair, max_length)
    except UnusableRow:
        answers = [len(ENCODE([[*TEMPLATE.spans(one)]])[0]) for one in sides_of(pair)]
        assert sum(answers) > max_length  # never where all would fit
        return
    assert sum(map(len, sides)) <= max_length
    assert prompt(sides[0]) == prompt(sides[1]) != []
    assert [answer(side) for side in sides] == [f"{better}<|im_end|>", f"{worse}<|im_end|>"]


def test_cached_pairs_are_the_fresh_ones(make, monkeypatch, own_cache):
    fresh = make()
    monkeypatch.setattr("xtune.data.pipeline.Pipeline.chunks", lambda self: 1 / 0)
    cached = make()
    assert cached.report == fresh.report
    assert all(same(fresh.sample(n), cached.sample(n)) for n in range(40))
    assert [cached.pack(item) for item in range(len(cached))] == [
        fresh.pack(item) for item in range(len(fresh))
    ]
    (folder,) = (path for path in own_cache.iterdir() if path.is_dir())
    assert np.fromfile(folder / "side.bin", np.int64).tolist() == [0, 1] * 20


def test_chunks_part_no_pair(make, monkeypatch, own_cache):
    whole = make()
    monkeypatch.setattr("xtune.data.pipeline._CHUNK", 3)
    monkeypatch.setenv("XTUNE_CACHE", str(own_cache.parent / "other"))
    chunked = make()
    assert all(same(whole.sample(n), chunked.sample(n)) for n in range(40))


def test_streamed_pairs_are_those_of_the_data_set_read_at_once(make):
    whole = make()
    streamed = make(kind=StreamedPreferenceDataset, window_rows=8)
    windows = list(islice(streamed.windows(), 3))
    assert [window.report.groups for window in windows] == [8, 8, 4]
    samples = [sample for window in windows for sample in window.samples]
    assert len(samples) == 40
    assert all(same(whole.sample(n), sample) for n, sample in enumerate(samples))


def test_pairs_and_dialogues_of_the_same_rows_have_caches_of_their_own(make, own_cache):
    def both(row):
        return {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", **row}]}

    rows = [{"content": "a"}]
    make(rows, SFTDataset, map_fn=both)
    with pytest.raises(DataError, match="map_fn 'both' makes a dialogue of a row, and these data"):
        make(rows, map_fn=both)


def steps_of(loader, count):
    return [[batch.samples for batch in loader.step(step)] for step in range(count)]


@pytest.mark.parametrize("kind", [PreferenceDataset, StreamedPreferenceDataset])
def test_a_resumed_run_goes_on_in_the_same_order(make, kind):
    settings = {"batch_size": 1, "accumulative_counts": 2, "seed": 3}
    more = {"window_rows": 6} if kind is StreamedPreferenceDataset else {}
    first = make(kind=kind, **more).loader(**settings)
    steps, states = [], []
    for step in range(12):
        steps.append([batch.input_ids.tolist() for batch in first.step(step)])
        states.append(first.state_dict())
    for begin in (1, 5, 9):
        again = make(kind=kind, **more).loader(**settings)
        again.load_state_dict(states[begin - 1])
        for step in range(begin, 12):
            assert [batch.input_ids.tolist() for batch in again.step(step)] == steps[step]


def test_a_mixture_shows_whole_pairs(make, write_rows):
    few, many = write_rows(rows_of(3), "few.jsonl"), write_rows(rows_of(12)[3:], "many.jsonl")
    mixed = make(
        data_path=[{"data_path": few, "epochs": 2}, {"data_path": many, "epochs": 1 / 3}],
        pack_to_max_length=False,
    )
    assert (mixed.report.groups, mixed.report.samples) == (9, 18)
    assert [source.shown for source in mixed.report.sources] == [12, 6]
    shown = [mixed.pack(item) for item in range(9)]
    assert all(pair[0] % 2 == 0 and pair[1] == pair[0] + 1 for pair in shown)
    assert sorted(shown[:6]) == [[0, 1], [0, 1], [2, 3], [2, 3], [4, 5], [4, 5]]
    tokens = sum(len(mixed.sample(n)) for pair in shown for n in pair)
    assert mixed.report.tokens == tokens
    assert sum(map(mixed.item_tokens, range(9))) == tokens


class Drawn(Packs):
    """Groups of the sizes given, their samples of tokens that tell them apart."""

    def __init__(self, groups, pack_length):
        self.samples = [
            sample
            for number, lengths in enumerate(groups)
            for sample in as_group(
                [
                    Sample(np.full(n, number, np.int32), np.full(n, number, np.int32))
                    for n in lengths
                ]
            )
        ]
        super().__init__(
            DataReport(),
            np.array([len(sample) for sample in self.samples]),
            bounds_of(sample.per_document["side"] for sample in self.samples),
            pack_length=pack_length,
        )

    def sample(self, index):
        return self.samples[index]


GROUPS = st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=4), min_size=1, max_size=15)


def groups_in(batch, groups):
    """Check that a batch has whole groups, and return their numbers."""
    found = []
    numbers = group_numbers(batch).tolist()
    sides = batch.per_document["side"].tolist()
    lengths = batch.cu_seqlens.diff().tolist()
    for number in range(numbers[-1] + 1):
        places = [place for place, one in enumerate(numbers) if one == number]
        assert [sides[place] for place in places] == list(range(len(places)))
        tokens = {int(batch.input_ids[0, batch.cu_seqlens[place]]) for place in places}
        assert len(tokens) == 1
        (group,) = tokens
        wanted = [1] * len(groups[group]) if batch.is_filler else groups[group]
        assert [lengths[place] for place in places] == wanted
        found.append(group)
    return found


@settings(max_examples=60, deadline=None)
@given(
    groups=GROUPS,
    packed=st.booleans(),
    size=st.integers(1, 3),
    batch_size=st.integers(1, 3),
    accumulation=st.integers(1, 3),
)
def test_a_group_is_never_parted(groups, packed, size, batch_size, accumulation):
    """Over packs, micro-batches, processes and steps: each is whole in one place, once an epoch."""
    data = Drawn(groups, pack_length=24 if packed else None)
    shown = []
    for rank in range(size):
        loader = data.loader(
            batch_size=batch_size,
            accumulative_counts=accumulation,
            seed=0,
            world=World(rank=rank, size=size),
        )
        for step in range(loader.steps_per_epoch):
            for batch in loader.step(step):
                found = groups_in(batch, groups)
                if batch.is_filler:
                    assert len(found) == 1
                    assert batch.trained_tokens == 0
                else:
                    shown += found
    assert sorted(shown) == list(range(len(groups)))


def test_a_filler_has_the_first_group_a_token_each():
    data = Drawn([[3, 2], [4, 1]], pack_length=None)
    one = filler(data.batch([1, 0]))
    assert one.input_ids.tolist() == [[1, 1]]
    assert one.position_ids.tolist() == [[0, 0]]
    assert one.labels.tolist() == [[-100, -100]]
    assert one.cu_seqlens.tolist() == [0, 1, 2]
    assert one.per_document["side"].tolist() == [0, 1]
    assert group_numbers(one).tolist() == [0, 0]


@pytest.mark.parametrize("size", [2, 3])
def test_each_slice_knows_the_groups_of_the_whole_row(size):
    batch = Drawn([[3, 2], [4, 2]], pack_length=None).batch([0, 1])  # 11 tokens: padding
    for rank in range(size):
        one = slice_of(batch, SequenceGroup(rank=rank, size=size))
        assert group_numbers(one).tolist() == [0, 0, 1, 1]
        assert one.per_document["side"].tolist() == [0, 1, 0, 1]


def test_documents_that_are_no_groups_are_numbered_one_by_one():
    ids = np.array([1, 2], np.int32)
    batch = collate([Sample(ids, ids)] * 3)
    assert group_numbers(batch).tolist() == [0, 1, 2]
    (first, _) = [slice_of(batch, SequenceGroup(rank=rank, size=4)) for rank in (0, 3)]
    assert group_numbers(first).tolist() == [0, 1, 2]  # without the padding


def cfg_of(kind, path):
    data = {
        "type": kind,
        "data_path": path,
        "map_fn": "preference",
        "template": "chatml",
        "max_length": 128,
    }
    return {"model": {"type": "SupervisedFinetune"}, "train_dataset": data}


class Mine(SFTDataset):
    """A data set of a user's own that says what it makes once it is there."""

    makes = property(lambda self: "poems")


def test_what_a_data_set_of_ones_own_makes_is_asked_once_it_is_there(tmp_path, own_cache):
    (tmp_path / "a.jsonl").write_text('{"instruction": "1?", "input": "", "output": "a"}\n')
    cfg = cfg_of(Mine, str(tmp_path / "a.jsonl"))
    cfg["train_dataset"]["map_fn"] = "alpaca"
    said = r"type='Mine' makes poems of rows, and model\.type='SupervisedFinetune' learns from dial"
    with pytest.raises(ConfigError, match=said):
        build_datasets(cfg, TOKENIZER)


def test_supervised_data_refuse_pairs(make):
    with pytest.raises(DataError, match="makes preference pairs, which supervised fine-tuning"):
        make(kind=SFTDataset)


class Half:
    """A data set of a user's own, not yet whole."""

    makes = "dialogues"

    def __init__(self, *, data_path, tokenizer, map_fn, template, max_length):
        self.report, self.template = DataReport(), TEMPLATE

    @property
    def identity(self):
        return 1 / 0  # nothing is asked of it


def test_a_data_set_of_ones_own_is_told_what_it_lacks():
    with pytest.raises(ConfigError, match=r"type='Half' has no largest_id, loader, preview, which"):
        build_datasets(cfg_of(Half, "data.jsonl"), TOKENIZER)


def test_a_cache_that_does_not_tell_of_groups_is_read(make, own_cache, monkeypatch):
    """Its report has no such count: each sample stands alone."""
    rows = [{"instruction": f"{n}?", "input": "", "output": "a"} for n in range(3)]
    fresh = make(rows, SFTDataset, map_fn="alpaca")
    told = fresh.report.to_dict()
    del told["groups"]
    read = DataReport.from_dict(json.loads(json.dumps(told)))
    assert (read.samples, read.groups) == (3, 3)
    assert [*pairwise(fresh._mixed.caches[0].bounds.tolist())] == [(0, 1), (1, 2), (2, 3)]


def test_a_mixture_tells_of_all_its_answers_what_one_source_tells(make, tmp_path):
    plain, worth = tmp_path / "plain.jsonl", tmp_path / "worth.jsonl"
    plain.write_text("".join(json.dumps(row) + "\n" for row in rows_of(3)))
    worth.write_text("".join(json.dumps({**row, "margin": 2}) + "\n" for row in rows_of(3)))
    data = make(data_path=[{"data_path": str(plain)}, {"data_path": str(worth)}])
    assert data.vectors == {"side", "score"}
    scores = [data.sample(index).per_document["score"] for index in range(12)]
    assert scores == [0.0] * 6 + [2.0, 0.0] * 3
    assert make(data_path=str(plain)).vectors == {"side"}


def test_data_without_what_the_loss_asks_for_are_refused_before_the_run(tmp_path, own_cache):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_of(3)))
    cfg = cfg_of("PreferenceDataset", str(tmp_path / "a.jsonl"))
    loss = {"type": "bradley_terry", "margin_weight": 1.0}
    cfg["model"] = {"type": "RewardModel", "loss": loss}
    said = "asks for `margin` or `scores` of the data, and no row of train_dataset has it"
    with pytest.raises(ConfigError, match=said):
        build_datasets(cfg, TOKENIZER)
    cfg["model"]["loss"] = {"type": "bradley_terry"}
    build_datasets(cfg, TOKENIZER)
