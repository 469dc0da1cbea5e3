"""CMRC 2018: Chinese passages of Wikipedia, each with questions whose answer stands in it.

Form: completion or chat. Shots: 0. Scoring: exact_match.

    exact_match  letters and digits are those of one of the right answers
    f1           of characters, by the longest run that both have, as in the authors' script

What stands behind '答案是' counts, without its full stop. The request is OpenCompass'.

Source: https://github.com/ymcui/cmrc2018 (squad-style-data/cmrc2018_dev.json, CC BY-SA 4.0).
Paper: Cui et al. 2019, A Span-Extraction Dataset for Chinese Machine Reading Comprehension.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from xtune.eval.extraction import after_answer_is
from xtune.eval.metrics.exact_match import bare, matches
from xtune.eval.metrics.overlap import longest_run
from xtune.eval.metrics.words import characters_of
from xtune.eval.published import Part, Row, damaged, field
from xtune.eval.tasks.base import Item, Score
from xtune.eval.tasks.generated import AnsweredTask
from xtune.registry import EVALUATIONS

__all__ = ["CMRC"]


def _part(split: str, short: str, items: int) -> Part:
    folder = "squad-style-data/"
    name = f"cmrc2018_{short}.json"
    return Part((f"{folder}{name}", name, f"{short}.json"), split, items=items)


@EVALUATIONS.register_module()
class CMRC(AnsweredTask):
    """Questions of `cmrc2018_dev.json`, in SQuAD's form; see the module and `GeneratedTask`."""

    name = "cmrc"
    source = "https://github.com/ymcui/cmrc2018"
    folders = ("cmrc2018",)
    parts = {
        "validation": _part("validation", "dev", 3219),
        "train": _part("train", "train", 10142),
    }
    ability = "understanding"
    usual_tokens = 64
    stop = ("\n",)

    def rows(self, split: str) -> list[Item]:
        """Return the questions of all passages; see `PublishedTask`."""
        part = self.parts[split]
        names = [name for name in part.names() if name.endswith(".json")]
        rows = self._questions(*names) if self.published.files(*names) else None
        found = self.published.rows(part) if rows is None else rows
        return [self.item(row, where, number) for number, (where, row) in enumerate(found)]

    def _questions(self, *names: str) -> Iterator[Row]:
        for where, whole in self.published.document(*names):
            try:
                for at, article in enumerate(whole["data"]):
                    for passage in article["paragraphs"]:
                        for asked in passage["qas"]:
                            yield f"{where}: data[{at}]", {"context": passage["context"], **asked}
            except (KeyError, TypeError) as error:
                raise damaged(
                    where, f"this file is data[].paragraphs[].qas[], as SQuAD's: {error!r}"
                ) from error

    def item(self, row: Mapping[str, Any], where: str, number: int) -> Item:
        """Return a question with its passage and all its right answers.

        Args: as `PublishedTask.item`.
        """
        given = field(row, where, "answers", kind=object)
        # the hub has one object of lists, the files a list of objects
        texts = given.get("text") if isinstance(given, dict) else given
        if isinstance(given, list):
            texts = [each.get("text") if isinstance(each, dict) else None for each in given]
        if not texts or not all(isinstance(each, str) for each in texts):
            raise damaged(where, "answers has no list of texts")
        return Item(
            id=str(row.get("id", number)),
            question=field(row, where, "question"),
            gold=list(dict.fromkeys(texts)),
            where=where,
            fields={"context": field(row, where, "context")},
        )

    def question(self, item: Item) -> str:
        """Return the request, the passage and the question; see `QuestionTask`."""
        return (
            "根据文章回答问题。你的答案应该尽可能简练，请以 ‘答案是’ 开头的句式作答。\n"
            f"文章：{item.fields['context']}\n问：{item.question}\n答："
        )

    def answer(self, item: Item) -> str:
        """Return the first right answer in a sentence; see `QuestionTask`."""
        return f"答案是{item.gold[0]}。"

    def worth(self, item: Item, text: str) -> Score:
        """Return 'exact_match' and 'f1'.

        Args: as `AnsweredTask.worth`.
        """
        said = after_answer_is(text)
        tokens = characters_of(said)
        return Score(
            metrics={
                "exact_match": float(matches(said, item.gold, bare)),
                "f1": max(longest_run(tokens, characters_of(each)).f1 for each in item.gold),
            },
            got=said,
            expected=" / ".join(item.gold),
            unanswered=not tokens,
        )
