"""Texts to tokens, for measures that compare tokens: words, and in Chinese words or characters.

words_of('The cat sat.')      ['the', 'cat', 'sat']
words_of('北京是中国的首都')    ['北京', '是', '中国', '的', '首都']       by jieba
characters_of('用Python写')    ['用', 'python', '写']
"""

from __future__ import annotations

import re
import unicodedata

from xtune.eval.extra_package import extra_package

__all__ = ["characters_of", "has_chinese", "words_of"]

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_RUN = re.compile(rf"[{_HAN}]+|[^\W_{_HAN}]+")


def has_chinese(text: str) -> bool:
    """Whether a text has Chinese characters."""
    return re.search(rf"[{_HAN}]", text) is not None


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation.

    Args:
        text: in any language; runs of Chinese characters are cut by jieba.

    Raises:
        UsageError: it has Chinese, and jieba is not installed.
    """
    words: list[str] = []
    for run in _RUN.findall(_plain(text)):
        words += _cut(run) if has_chinese(run) else [run]
    return words


def characters_of(text: str) -> list[str]:
    """Return Chinese characters one by one, and words of other scripts whole.

    Args:
        text: in any language.
    """
    tokens: list[str] = []
    for run in _RUN.findall(_plain(text)):
        tokens += list(run) if has_chinese(run) else [run]
    return tokens


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()


def _cut(run: str) -> list[str]:
    jieba = extra_package("jieba", "a measure of Chinese words")
    jieba.setLogLevel(60)  # it tells of its dictionary on standard error
    return list(jieba.cut(run))
