"""BLEU by sacrebleu, whose signature says which BLEU it is."""

from __future__ import annotations

from collections.abc import Sequence

from xtune.eval.extra_package import extra_package
from xtune.eval.metrics.words import has_chinese

__all__ = ["corpus_bleu"]


def corpus_bleu(answers: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[float, str]:
    """Return BLEU of all answers together, 0 to 100, and sacrebleu's signature.

    Chinese references are cut into characters (`tokenize='zh'`), others by the rules of WMT (13a).

    Args:
        answers: one an item.
        references: of each item, one or more.

    Raises:
        UsageError: sacrebleu is not installed.
        ValueError: there are no answers.
    """
    sacrebleu = extra_package("sacrebleu.metrics", "BLEU")
    if not answers:
        raise ValueError("BLEU of no answers is not defined")
    chinese = any(has_chinese(each) for some in references for each in some)
    bleu = sacrebleu.BLEU(tokenize="zh" if chinese else "13a")
    most = max(map(len, references))
    # sacrebleu wants the first references of all items, then the second ones; None: it has none
    streams = [[some[at] if at < len(some) else None for some in references] for at in range(most)]
    score = bleu.corpus_score(list(answers), streams)
    return float(score.score), str(bleu.get_signature())
