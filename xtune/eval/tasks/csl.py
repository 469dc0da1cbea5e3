"""CSL of FewCLUE: do these keywords belong to this abstract of a Chinese paper?

Form: whole texts, in either form. Shots: none. Scoring: whole_ppl: of the abstract alone and the
abstract with the keywords, the text whose tokens are likelier on average wins; the first says no,
the second yes. Models lean to one of the two, so both classes are reported, `acc_no` and
`acc_yes`. OpenCompass has the same texts, but divides by one token more.

Source: https://github.com/CLUEbenchmark/FewCLUE (datasets/csl): test_public.json, dev_few_all.json.
Paper: Xu et al. 2021, FewCLUE: A Chinese Few-shot Learning Evaluation Benchmark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xtune.eval.published import Part, damaged, field
from xtune.eval.tasks.base import Candidate, Choices, Form, Item, Prompt, Response, Score
from xtune.eval.tasks.choices import likelihoods, mean, two_best
from xtune.eval.tasks.published_task import PublishedTask
from xtune.registry import EVALUATIONS

__all__ = ["CSL"]

_ANSWERS = ("no", "yes")


@EVALUATIONS.register_module()
class CSL(PublishedTask):
    """Abstracts of `test_public.json`; see the module.

    Args:
        data_path: a folder, or a hub id; see `published`. None: $XTUNE_EVAL_DATA.
        split: 'test' or 'dev'.
    """

    name = "csl"
    source = "https://github.com/CLUEbenchmark/FewCLUE (datasets/csl)"
    folders = ("FewCLUE_csl", "fewclue/csl")
    parts = {
        "test": Part(("test_public.json", "csl/test_public.json"), "test", items=2828),
        "dev": Part(("dev_few_all.json", "csl/dev_few_all.json"), "dev", items=160),
    }
    shots_from = ""
    scoring = "whole_ppl"
    ability = "understanding"

    def __init__(self, *, data_path: str | None = None, split: str | None = None) -> None:
        super().__init__(data_path=data_path, split=split)

    def item(self, row: Mapping[str, Any], where: str, number: int) -> Item:
        """Return the abstract of a row with its keywords.

        Args: as `PublishedTask.item`.
        """
        keywords = field(row, where, "keyword", kind=list)
        label = str(row.get("label"))
        if label not in ("0", "1"):
            raise damaged(where, f"the label is {row.get('label')!r}, and must be '0' or '1'")
        abstract = f"摘要：{field(row, where, 'abst')}"
        return Item(
            id=str(row.get("id", number)),
            question=f"{abstract}\n关键词：{'，'.join(map(str, keywords))}",
            gold=int(label),
            options=_ANSWERS,
            group=_ANSWERS[int(label)],
            where=where,
            fields={"abstract": abstract},
        )

    def question(self, item: Item) -> str:
        """Return the abstract with the keywords; see `QuestionTask`."""
        return item.question

    def answer(self, item: Item) -> str:
        """Return 'no' or 'yes'; see `QuestionTask`."""
        return item.options[item.gold]

    def ask(self, item: Item, form: Form) -> Choices:
        """Return both whole texts.

        Args: as `Task.ask`.
        """
        return Choices(
            (Candidate(Prompt(), item.fields["abstract"]), Candidate(Prompt(), item.question))
        )

    def score(self, item: Item, response: Response) -> Score:
        """Return 'acc'.

        Args: as `Task.score`.
        """
        per_token = [one.log_prob / one.tokens for one in likelihoods(response).candidates]
        best, margin = two_best(per_token)
        return Score(
            metrics={"acc": float(best == item.gold)},
            got=_ANSWERS[best],
            expected=_ANSWERS[item.gold],
            margin=margin,
            notes={"nats_per_token": per_token},
        )

    def overall(self, items: Sequence[Item], scores: Sequence[Score]) -> dict[str, float]:
        """Return the accuracy of each class, by which a leaning shows.

        Args: as `Task.overall`.
        """
        right: dict[str, list[float]] = {}
        for item, score in zip(items, scores, strict=True):
            right.setdefault(item.group, []).append(score.metrics["acc"])
        return {f"acc_{group}": mean(values) for group, values in right.items()}
