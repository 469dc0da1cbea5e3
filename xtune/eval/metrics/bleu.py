"""BLEU by sacrebleu, whose signature says which BLEU it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xtune.eval.extra_package import extra_package
from xtune.eval.metrics.words import has_chinese

__all__ = ["bleu_signature", "corpus_bleu", "require_bleu"]


def require_bleu() -> Any:
    """Return the module that has BLEU.

    Raises:
        UsageError: sacrebleu is not installed.
    """
    return extra_package("sacrebleu.metrics", "BLEU")


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
    if not answers:
        raise ValueError("BLEU of no answers is not defined")
    bleu = _bleu_for(references)
    most = max(map(len, references))
    # sacrebleu wants the first references of all items, then the second ones; None: it has none
    streams = [[some[at] if at < len(some) else None for some in references] for at in range(most)]
    score = bleu.corpus_score(list(answers), streams)
    return float(score.score), str(bleu.get_signature())


def bleu_signature(references: Sequence[str]) -> str:
    """Return the signature that BLEU has where each item has one reference, before any answer.

    Args:
        references: one an item, one item at least.

    Raises:
        UsageError: sacrebleu is not installed.
    """
    bleu = _bleu_for([references])
    bleu.corpus_score(["-"], [["-"]])  # it counts the references of what it scores
    return str(bleu.get_signature())


def _bleu_for(references: Sequence[Sequence[str]]) -> Any:
    chinese = any(has_chinese(each) for some in references for each in some)
    return require_bleu().BLEU(tokenize="zh" if chinese else "13a")
