"""A folder in int4: GPTQ on the run's own rows, proven better than rounding to the nearest."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from xtune.checkpoint.disk import whole_folder
from xtune.errors import ModelError, UsageError
from xtune.export.calibrated import held_out, opened_for, proved
from xtune.export.export import write_model
from xtune.export.int4.calibrate import change_alone, change_by_rows, group_of, linears_of
from xtune.export.int4.compressed import write_packed
from xtune.export.int4.gptq import Rounded, gptq, nearest
from xtune.export.proof.dialogues import Dialogue
from xtune.export.proof.prove import Outcome
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
    number = "fp32" if dtype == "auto" else dtype
    ready = opened_for("int4", name, adapter, notes, own, dtype=number)
    llm = ready.llm
    family = family_of_config(llm.config)
    linears = linears_of(llm)
    group = group_of(linears)
    before = change_alone(linears, lambda weight: nearest(weight, group).weight)
    by_nearest = held_out(ready).kl_mean
    for layer, weight in before.items():
        linears[layer].weight.data = weight
    rounded: dict[str, Rounded] = {}

    def to_codes(layer: str, weight: Tensor, hessian: Tensor) -> Tensor:
        rounded[layer] = gptq(weight, hessian, group)
        return rounded[layer].weight

    change_by_rows(llm, linears, rows, to_codes)
    calibrated = held_out(ready).kl_mean
    if not calibrated < by_nearest:
        raise ModelError(
            f"calibrated on {len(rows)} rows, int4 comes no nearer on held-out ones than rounding "
            f"to the nearest (KL {calibrated:.1e} and {by_nearest:.1e}): calibrate on more rows"
        )
    with whole_folder(out) as part:
        write_model(part, llm, ready.tokenizer, notes, layout="transformers")
        weights = llm.state_dict() if family is None else family.weights(llm, "transformers")
        tied = bool(llm.config.tie_word_embeddings)
        kept = {n: w for n, w in weights.items() if not (tied and n == "lm_head.weight")}
        write_packed(part, kept, rounded, group=group, ignored=["lm_head"])
        ready.llm = llm = None  # two of them may not fit
        outcome = proved(
            part,
            out.name,
            ready,
            reader="transformers (compressed-tensors)",
            weights="int4",
            notices=[
                f"calibrated by GPTQ on {len(rows)} rows of the run, groups of {group}",
                f"KL on held-out rows: {calibrated:.1e}, and {by_nearest:.1e} rounded to the "
                "nearest",
            ],
        )
    return Int4Exported(len(rounded), group, len(rows), by_nearest, calibrated, outcome)
