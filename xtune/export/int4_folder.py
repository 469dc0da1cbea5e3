"""A folder in int4: GPTQ on the run's own rows, proven better than rounding to the nearest."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xtune.checkpoint.disk import whole_folder
from xtune.errors import ModelError, UsageError
from xtune.export.export import write_model
from xtune.export.int4.calibrate import group_of, linears_of, round_by_rows, round_to_nearest
from xtune.export.int4.compressed import write_packed
from xtune.export.merge import require_rows, require_writes_text
from xtune.export.prepared import Prepared, prepared
from xtune.export.proof.dialogues import Dialogue
from xtune.export.proof.prove import Outcome, prove, require_passed
from xtune.export.proof.readers import TransformersReader, end_ids_of
from xtune.export.proof.reference import log_probs
from xtune.export.proof.report import REPORT, report_of
from xtune.export.proof.scores import Given, scores_of
from xtune.models import load_config
from xtune.models.families import family_of_config

__all__ = ["Int4Exported", "export_int4"]


@dataclass(frozen=True, slots=True)
class Int4Exported:
    """What was written.

    Attributes:
        layers: that are packed.
        group: columns that share a scale.
        rows: texts that it was calibrated on.
        nearest: KL (mean) of rounding to the nearest, on rows that were held out.
        calibrated: the same of what was written.
        outcome: of the proof.
    """

    layers: int
    group: int
    rows: int
    nearest: float
    calibrated: float
    outcome: Outcome


def export_int4(
    name: str,
    out: Path,
    *,
    adapter: Path | None,
    notes: Mapping[str, Any],
    rows: Sequence[Sequence[int]],
    own: Sequence[Dialogue] = (),
    dtype: str = "auto",
) -> Int4Exported:
    """Merge, round on the rows, write, have transformers read it, compare.

    Args:
        name: what `load_model` takes.
        out: a folder that is not there yet.
        adapter: an adapter's folder, or None.
        notes: template, stop words and system prompt of the training.
        rows: ids of texts that were trained on.
        own: dialogues that were not, which the proof asks.
        dtype: of scales and of what is not packed; 'auto' is fp32.

    Raises:
        UsageError: compressed-tensors is not installed, by which transformers reads it.
        ModelError: the model has layers that int4 has no place for; or calibrating is no better
            than rounding to the nearest; or what is read back answers otherwise; nothing is left.
    """
    if importlib.util.find_spec("compressed_tensors") is None:
        raise UsageError(
            "int4 is read back by compressed-tensors, which is not installed: pip install '.[int4]'"
        )
    require_writes_text(name, adapter)
    config = load_config(name)
    family = family_of_config(config)
    if family is not None and "transformers" not in family.layouts(config):
        raise ModelError(
            f"no architecture of transformers computes {name}, and int4 is written for one: write "
            "GGUF (--format gguf --quant q4_0)"
        )
    ready = prepared(name, adapter, notes, own, dtype="fp32" if dtype == "auto" else dtype)
    require_rows(ready.llm, ready.tokenizer, name)
    llm = ready.llm
    linears = linears_of(llm)
    group = group_of(linears)
    before = round_to_nearest(linears, group)
    nearest = _kl(ready)
    for layer, weight in before.items():
        linears[layer].weight.data = weight
    rounded = round_by_rows(llm, linears, rows, group)
    calibrated = _kl(ready)
    if not calibrated < nearest:
        raise ModelError(
            f"calibrated on {len(rows)} rows, int4 comes no nearer on held-out ones than rounding "
            f"to the nearest (KL {calibrated:.1e} and {nearest:.1e}): calibrate on more rows"
        )
    with whole_folder(out) as part:
        write_model(part, llm, ready.tokenizer, notes, layout="transformers")
        weights = llm.state_dict() if family is None else family.weights(llm, "transformers")
        tied = bool(llm.config.tie_word_embeddings)
        kept = {n: w for n, w in weights.items() if not (tied and n == "lm_head.weight")}
        write_packed(part, kept, rounded, group=group, ignored=["lm_head"])
        ready.llm = llm = None  # two of them may not fit
        outcome = _proved(part, ready)
        notices = [
            f"calibrated by GPTQ on {len(rows)} rows of the run, groups of {group}",
            f"KL on held-out rows: {calibrated:.1e}, and {nearest:.1e} rounded to the nearest",
        ]
        text = report_of(
            out.name,
            ready.reference,
            [outcome],
            compared_with=ready.compared_with,
            unchecked=["vLLM: not run here", "SGLang: not run here"],
            notices=notices,
        )
        (part / REPORT).write_text(text, encoding="utf-8")
    return Int4Exported(len(rounded), group, len(rows), nearest, calibrated, outcome)


def _kl(ready: Prepared) -> float:
    """Of the model as it stands, at the reference's places."""
    scored = ready.reference.scored
    given = [
        [Given(None, row) for row in log_probs(ready.llm, text.ids, text.places)] for text in scored
    ]
    return scores_of(scored, given).kl_mean


def _proved(part: Path, ready: Prepared) -> Outcome:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    llm: Any = AutoModelForCausalLM.from_pretrained(part, dtype="auto")
    tokenizer: Any = AutoTokenizer.from_pretrained(part)
    reader = TransformersReader(
        "transformers (compressed-tensors)", llm, tokenizer, end_ids_of(part)
    )
    outcome = prove(ready.reference, reader, "int4", ready.plain)
    require_passed([outcome])
    return outcome
