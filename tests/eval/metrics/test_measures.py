"""Measures of texts against numbers made by hand."""

from __future__ import annotations

import sys

import pytest

from xtune.errors import UsageError
from xtune.eval.metrics.bleu import corpus_bleu
from xtune.eval.metrics.exact_match import (
    bare,
    folded,
    matches,
    no_articles,
    plain_number,
    same_number,
)
from xtune.eval.metrics.overlap import f1_of_words, longest_run, rouge_l, rouge_n
from xtune.eval.metrics.pass_at_k import pass_at_k
from xtune.eval.metrics.variety import distinct, shape_of
from xtune.eval.metrics.words import characters_of, words_of
from xtune.generation.requests import Text


def test_words_and_characters():
    assert words_of("The cat's 2nd hat, ok?") == ["the", "cat", "s", "2nd", "hat", "ok"]
    assert words_of("北京是中国的首都。") == ["北京", "是", "中国", "的", "首都"]
    assert words_of("我用Python3写 code") == ["我用", "python3", "写", "code"]
    assert characters_of("我用Python3写，code") == ["我", "用", "python3", "写", "code"]
    assert words_of("…!?") == []


def _split(text):
    return text.split()


def test_rouge_by_hand():
    answer, reference = (
        ["the", "cat", "sat", "on", "the", "mat"],
        ["the", "cat", "was", "on", "the", "red", "mat"],
    )
    # the x2, cat, on, mat: 5 of 6 and 5 of 7
    assert rouge_n(answer, reference, 1) == pytest.approx((5 / 6, 5 / 7, 10 / 13))
    # 'the cat', 'on the': 2 of 5 and 2 of 6
    assert rouge_n(answer, reference, 2) == pytest.approx((2 / 5, 2 / 6, 4 / 11))
    # the cat on the mat
    assert rouge_l(answer, reference) == pytest.approx((5 / 6, 5 / 7, 10 / 13))
    assert rouge_l(["a", "b", "c", "d"], ["d", "c", "b", "a"]) == (0.25, 0.25, 0.25)
    assert rouge_l(["a", "x", "b", "y"], ["a", "b"]) == pytest.approx((0.5, 1.0, 2 / 3))
    assert rouge_n([], reference, 1) == (0, 0, 0)
    assert rouge_n(["a"], ["a"], 2) == (0, 0, 0)
    assert rouge_l([], []) == (0, 0, 0)


def test_rouge_knows_chinese():
    answer, reference = words_of("北京是首都。"), words_of("北京是中国的首都")
    assert rouge_n(answer, reference, 1) == pytest.approx((1.0, 3 / 5, 3 / 4))
    assert rouge_l(answer, reference).f1 == pytest.approx(3 / 4)


def test_f1_by_the_longest_run():
    # 'b c' of three and of four
    assert longest_run(list("xbc"), list("abcd")) == pytest.approx((2 / 3, 2 / 4, 4 / 7))
    assert longest_run(["a"], ["b"]) == (0, 0, 0)
    answer, reference = characters_of("1998年10月"), characters_of("1998年")
    assert longest_run(answer, reference).f1 == pytest.approx(2 / 3)  # 1998 年 of 1998 年 10 月
    assert f1_of_words(["a", "a", "b"], ["b", "a"]) == pytest.approx(4 / 5)
    assert f1_of_words([], []) == 1


def test_bleu_is_sacrebleus_and_says_which():
    import sacrebleu

    answers = ["the cat sat on the mat", "a dog"]
    references = [["the cat sat on the red mat", "a cat was on the mat"], ["a dog barks"]]
    score, signature = corpus_bleu(answers, references)
    assert score == pytest.approx(
        sacrebleu.corpus_bleu(
            answers, [["the cat sat on the red mat", "a dog barks"], ["a cat was on the mat", None]]
        ).score
    )
    assert "tok:13a" in signature
    assert corpus_bleu(["the cat sat on the mat"], [["the cat sat on the mat"]])[0] == (
        pytest.approx(100)
    )


def test_bleu_of_chinese_is_by_character():
    score, signature = corpus_bleu(["北京是中国的首都"], [["北京是中国的首都"]])
    assert score == pytest.approx(100)
    assert "tok:zh" in signature
    # precisions 5/6, 4/5, 3/4, 2/3 and as long: their geometric mean
    score, _ = corpus_bleu(["北京是个首都"], [["北京是个首府"]])
    assert score == pytest.approx(100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25)


def test_variety():
    answers = [["a", "b", "a", "b"], ["a", "c"], []]
    assert distinct(answers, 1) == 3 / 6
    assert distinct(answers, 2) == 3 / 4  # ab, ba, ab, ac
    assert distinct([[]], 1) == 0
    texts = [Text("a", "stop", 2), Text("b c", "length", 8), Text(" \n", "stop", 2)]
    assert shape_of(texts) == {"mean_tokens": 4, "cut": 1 / 3, "empty": 1 / 3}


def test_pass_at_k_against_all_subsets():
    from itertools import combinations

    for samples in range(1, 7):
        for right in range(samples + 1):
            for k in range(1, samples + 1):
                subsets = list(combinations([1] * right + [0] * (samples - right), k))
                expected = sum(any(each) for each in subsets) / len(subsets)
                assert pass_at_k(samples, right, k) == pytest.approx(expected, abs=1e-15)
    assert pass_at_k(200, 1, 100) == 0.5
    assert pass_at_k(5, 2, 2) != 1 - (1 - 2 / 5) ** 2  # the biased formula
    with pytest.raises(UsageError, match=r"pass@10 needs at least 10 samples .* there are 5"):
        pass_at_k(5, 2, 10)


def test_what_does_not_matter_is_taken_off():
    assert folded(" The U.S.A.! ") == "the usa"
    assert no_articles("The Beatles, an a-ha") == "beatles aha"
    assert matches("Washington D.C.", ["DC", "washington, d.c."], folded)
    assert not matches("Washington", ["DC"], folded)
    assert bare("《光荣·与梦想》，１９９８ Ok!") == "光荣与梦想1998ok"
    assert plain_number("$1,234.50.") == "1234.50"
    assert same_number("18.00", "18")
    assert same_number("1,000", "1000")
    assert not same_number("18.5", "18")
    assert not same_number("", "18")


def test_a_package_that_is_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", None)
    with pytest.raises(UsageError, match=r"needs the package jieba.*pip install 'xtune\[eval\]'"):
        words_of("北京")
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    monkeypatch.delitem(sys.modules, "sacrebleu.metrics", raising=False)
    with pytest.raises(UsageError, match=r"BLEU needs the package sacrebleu"):
        corpus_bleu(["a"], [["a"]])
