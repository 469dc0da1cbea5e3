"""What int4 and pruned folders have in common: chat's answers before, the proof after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xtune.errors import ModelError
from xtune.export.merge import require_rows, require_writes_text
from xtune.export.prepared import Prepared, prepared
from xtune.export.proof.dialogues import Dialogue
from xtune.export.proof.prove import Outcome, prove, require_passed
from xtune.export.proof.readers import TransformersReader, end_ids_of
from xtune.export.proof.reference import log_probs
from xtune.export.proof.report import REPORT, report_of
from xtune.export.proof.scores import Given, Scores, scores_of
from xtune.models import load_config
from xtune.models.families import family_of_config

__all__ = ["held_out", "opened_for", "proved"]


def opened_for(
    what: str,
    name: str,
    adapter: Path | None,
    notes: Mapping[str, Any],
    own: Sequence[Dialogue],
    *,
    dtype: str,
) -> Prepared:
    """Merge, and refuse what is no language model of transformers' own.

    Args:
        what: is written, for messages: 'int4'.
        name: what `load_model` takes.
        adapter: an adapter's folder, or None.
        notes: template, stop words and system prompt of the training.
        own: dialogues that were not trained on, which the proof asks.
        dtype: of the weights.

    Raises:
        ModelError: it is a reward model; or no architecture of transformers computes it.
    """
    require_writes_text(name, adapter)
    config = load_config(name)
    family = family_of_config(config)
    if family is not None and "transformers" not in family.layouts(config):
        raise ModelError(
            f"no architecture of transformers computes {name}, and {what} is written for one: "
            "write GGUF (--format gguf --quant q4_0)"
        )
    ready = prepared(name, adapter, notes, own, dtype=dtype)
    require_rows(ready.llm, ready.tokenizer, name)
    return ready


def held_out(ready: Prepared) -> Scores:
    """Compare the model as it stands with chat's answers, at places that were not trained on.

    Args:
        ready: of `opened_for`; its model may have changed since.
    """
    scored = ready.reference.scored
    given = [
        [Given(None, row) for row in log_probs(ready.llm, text.ids, text.places)] for text in scored
    ]
    return scores_of(scored, given)


def proved(
    part: Path, title: str, ready: Prepared, *, reader: str, weights: str, notices: Sequence[str]
) -> Outcome:
    """Have transformers read a folder, compare with chat, and write the table.

    Args:
        part: the folder.
        title: of the table.
        ready: of `opened_for`.
        reader: the program, for people.
        weights: the format, a name of the proof's limits.
        notices: for the table.

    Raises:
        ModelError: it answers otherwise; says how.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    llm: Any = AutoModelForCausalLM.from_pretrained(part, dtype="auto")
    tokenizer: Any = AutoTokenizer.from_pretrained(part)
    outcome = prove(
        ready.reference,
        TransformersReader(reader, llm, tokenizer, end_ids_of(part)),
        weights,
        ready.plain,
    )
    require_passed([outcome], notices)
    text = report_of(
        title,
        ready.reference,
        [outcome],
        compared_with=ready.compared_with,
        unchecked=["vLLM: not run here", "SGLang: not run here"],
        notices=notices,
    )
    (part / REPORT).write_text(text, encoding="utf-8")
    return outcome
