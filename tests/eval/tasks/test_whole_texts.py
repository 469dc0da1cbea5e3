"""CSL and perplexity: whole texts, against numbers made by hand."""

from __future__ import annotations

import math

import pytest

from tests.eval.tasks.files import asked, lines, write
from xtune.errors import DataError, UsageError
from xtune.eval.tasks.base import Likelihood, Likelihoods, Prompt, Rolling, RollingLikelihood
from xtune.eval.tasks.csl import CSL
from xtune.eval.tasks.perplexity import Perplexity

ROW = {"id": 1963, "abst": "本文研究城市。", "keyword": ["城市", "规划"], "label": "1"}


def test_csl_scores_the_abstract_alone_and_with_its_keywords(tmp_path):
    lines(tmp_path / "test_public.json", [ROW, ROW | {"id": 2, "label": "0"}])
    task = CSL(data_path=str(tmp_path))
    first, second = task.items()
    assert [(one.prompt, one.continuation) for one in asked(task, first).candidates] == [
        (Prompt(), "摘要：本文研究城市。"),
        (Prompt(), "摘要：本文研究城市。\n关键词：城市，规划"),
    ]
    assert (first.id, first.gold, first.group, second.group) == ("1963", 1, "yes", "no")


def test_csls_answer_is_the_text_with_the_likelier_tokens_and_classes_are_apart(tmp_path):
    """-20 of 10 tokens is -2 each; -27 of 15 is -1.8 each, though the smaller sum."""
    lines(tmp_path / "test_public.json", [ROW, ROW | {"label": "0"}, ROW | {"label": "0"}])
    task = CSL(data_path=str(tmp_path))
    items = task.items()
    yes = Likelihoods((Likelihood(-20.0, False, 10), Likelihood(-27.0, False, 15)))
    no = Likelihoods((Likelihood(-20.0, False, 10), Likelihood(-37.5, False, 15)))
    scores = [task.score(item, answer) for item, answer in zip(items, (yes, yes, no), strict=True)]
    assert [(score.got, score.metrics["acc"]) for score in scores] == [
        ("yes", 1.0),
        ("yes", 0.0),
        ("no", 1.0),
    ]
    assert scores[0].margin == pytest.approx(0.2)
    assert task.overall(items, scores) == {"acc_yes": 1.0, "acc_no": 0.5}


def test_csls_damaged_rows_and_its_other_split(tmp_path):
    lines(tmp_path / "dev_few_all.json", [ROW | {"label": "2"}])
    task = CSL(data_path=str(tmp_path), split="dev")
    with pytest.raises(DataError, match="dev_few_all.json:1: the label is '2', and must be"):
        task.items()
    with pytest.raises(UsageError, match="csl: no test_public.json"):
        CSL(data_path=str(tmp_path))


def test_perplexity_by_token_word_and_byte(tmp_path):
    """2 texts, 3 + 1 words, 9 + 5 bytes ('ä' and 'ö' have two), 4 + 2 tokens, 14 ln 2 nats."""
    lines(tmp_path / "texts.jsonl", [{"text": "ab cd efg"}, {"text": "äöx"}])
    task = Perplexity(data_path=str(tmp_path / "texts.jsonl"))
    first, second = task.items()
    assert task.ask(first, "completion") == Rolling("ab cd efg")
    scores = [
        task.score(first, RollingLikelihood(-8 * math.log(2), 4)),
        task.score(second, RollingLikelihood(-6 * math.log(2), 2)),
    ]
    assert scores[0].metrics == {
        "bits_per_byte": pytest.approx(8 / 9),
        "word_perplexity": pytest.approx(2 ** (8 / 3)),
        "token_perplexity": pytest.approx(2**2),
    }
    assert task.overall([first, second], scores) == {
        "bits_per_byte": pytest.approx(1.0),
        "word_perplexity": pytest.approx(2 ** (14 / 4)),
        "token_perplexity": pytest.approx(2 ** (14 / 6)),
    }


def test_a_txt_file_is_one_text_and_a_long_one_is_shown_by_its_beginning(tmp_path):
    write(tmp_path / "a.txt", "one\n\ntwo\n" + "x" * 500)
    task = Perplexity(data_path=str(tmp_path / "a.txt"))
    (item,) = task.items()
    assert item.fields["text"] == "one\n\ntwo\n" + "x" * 500
    assert item.question == "one\n\ntwo\n" + "x" * 391 + " …"
    assert task.settings() == {"text": "text", "texts": 1, "bytes": 509}


def test_a_long_chinese_line_is_one_word_of_no_finite_perplexity(tmp_path):
    write(tmp_path / "a.txt", "水" * 900)
    task = Perplexity(data_path=str(tmp_path / "a.txt"))
    (item,) = task.items()
    score = task.score(item, RollingLikelihood(-2000.0, 900))
    assert score.metrics["word_perplexity"] == math.exp(700.0)
    assert score.metrics["bits_per_byte"] == pytest.approx(2000 / 2700 / math.log(2))


def test_a_folder_of_benchmarks_has_the_texts_in_a_folder_of_their_own(tmp_path, monkeypatch):
    write(tmp_path / "notes.txt", "no text of it")
    write(tmp_path / "perplexity/a.txt", "one")
    write(tmp_path / "perplexity/b.txt", "two")
    monkeypatch.setenv("XTUNE_EVAL_DATA", str(tmp_path))
    for task in (Perplexity(), Perplexity(data_path=str(tmp_path))):
        assert [item.fields["text"] for item in task.items()] == ["one", "two"]


def test_what_is_no_text(tmp_path, monkeypatch):
    monkeypatch.delenv("XTUNE_EVAL_DATA", raising=False)
    with pytest.raises(UsageError, match="perplexity needs a text: data_path='FILE.txt'"):
        Perplexity()
    with pytest.raises(UsageError, match="perplexity: no text at .*nowhere.txt"):
        Perplexity(data_path=str(tmp_path / "nowhere.txt"))
    lines(tmp_path / "a.jsonl", [{"content": "x"}])
    with pytest.raises(DataError, match="a.jsonl:1: no field 'text'; the row has 'content'"):
        Perplexity(data_path=str(tmp_path / "a.jsonl")).items()
    assert len(Perplexity(data_path=str(tmp_path / "a.jsonl"), text="content").items()) == 1
    lines(tmp_path / "b.jsonl", [{"text": " "}])
    with pytest.raises(DataError, match="b.jsonl:1: the text is blank"):
        Perplexity(data_path=str(tmp_path / "b.jsonl")).items()
