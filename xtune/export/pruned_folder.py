"""A folder with half of its weights zero: SparseGPT on the run's own rows, proven better than by
leaving out the smallest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from xtune.checkpoint.disk import whole_folder
from xtune.errors import ModelError
from xtune.export.calibrated import held_out, opened_for, proved
from xtune.export.export import write_model
from xtune.export.int4.calibrate import change_alone, change_by_rows, linears_of
from xtune.export.int4.sparse import TWO_OF_FOUR, Sparsity, by_size, sparse_gpt
from xtune.export.merge import published_dtype
from xtune.export.proof.dialogues import Dialogue
from xtune.export.proof.prove import Outcome
from xtune.export.proof.scores import Scores
from xtune.models import load_config

__all__ = ["PrunedExported", "density_of", "export_pruned"]


@dataclass(frozen=True, slots=True)
class PrunedExported:
    """What was written.

    Attributes:
        layers: that are pruned.
        sparsity: what was asked for.
        rows: texts that it was calibrated on.
        density: decoder layer -> the share of its weights that is left.
        by_size: scores on rows that were held out, had the smallest weights been left out.
        calibrated: the same of what was written.
        outcome: of the proof.
    """

    layers: int
    sparsity: Sparsity
    rows: int
    density: dict[str, float]
    by_size: Scores
    calibrated: Scores
    outcome: Outcome


def export_pruned(
    name: str,
    out: Path,
    *,
    adapter: Path | None,
    notes: Mapping[str, Any],
    rows: Sequence[Sequence[int]],
    sparsity: Sparsity,
    own: Sequence[Dialogue] = (),
    dtype: str = "auto",
) -> PrunedExported:
    """Merge, prune by the rows, write, have transformers read it, compare.

    Args:
        name: what `load_model` takes.
        out: a folder that is not there yet.
        adapter: an adapter's folder, or None.
        notes: template, stop words and system prompt of the training.
        rows: ids of texts that were trained on.
        sparsity: the share of each linear layer's weights that becomes zero, or '2:4'.
        own: dialogues that were not, which the proof asks.
        dtype: of the weights; 'auto' is what the model's config.json says.

    Raises:
        ModelError: a layer's width does not allow it; or calibrating is no better than leaving
            out the smallest weights; or what is read back answers otherwise; nothing is left.
    """
    number = published_dtype(load_config(name)) if dtype == "auto" else dtype
    ready = opened_for("a pruned model", name, adapter, notes, own, dtype=number)
    llm = ready.llm
    linears = linears_of(llm)
    if sparsity == TWO_OF_FOUR:
        _require_fours(linears)
    before = change_alone(linears, lambda weight: by_size(weight, sparsity))
    smallest = held_out(ready)
    for layer, weight in before.items():
        linears[layer].weight.data = weight

    def to_zero(layer: str, weight: Tensor, hessian: Tensor) -> Tensor:
        return sparse_gpt(weight, hessian, sparsity)

    change_by_rows(llm, linears, rows, to_zero)
    calibrated = held_out(ready)
    if not calibrated.kl_mean < smallest.kl_mean:
        raise ModelError(
            f"calibrated on {len(rows)} rows, pruning comes no nearer on held-out ones than "
            f"leaving out the smallest weights (KL {calibrated.kl_mean:.1e} and "
            f"{smallest.kl_mean:.1e}): calibrate on more rows"
        )
    density = density_of(linears)
    with whole_folder(out) as part:
        write_model(part, llm, ready.tokenizer, notes, layout="transformers")
        ready.llm = llm = None  # two of them may not fit
        outcome = proved(
            part,
            out.name,
            ready,
            reader="transformers",
            weights="pruned",
            notices=[
                f"{sparsity} of {len(linears)} linear layers is zero, by SparseGPT on {len(rows)} "
                "rows of the run",
                f"KL on held-out rows: {calibrated.kl_mean:.1e}, and {smallest.kl_mean:.1e} with "
                "the smallest weights left out",
                f"loss on held-out rows: {calibrated.nll_rise:+.1e} nats a token, and "
                f"{smallest.nll_rise:+.1e}",
                *(
                    f"{layer}: {share:.2%} of the weights are left"
                    for layer, share in density.items()
                ),
            ],
        )
    return PrunedExported(len(linears), sparsity, len(rows), density, smallest, calibrated, outcome)


def density_of(linears: Mapping[str, nn.Linear]) -> dict[str, float]:
    """Return the share of weights that are not zero, by decoder layer.

    Args:
        linears: of the decoder's layers, by name.
    """
    left: dict[str, int] = {}
    all_of: dict[str, int] = {}
    for name, linear in linears.items():
        parts = name.split(".")
        number = next(at for at, part in enumerate(parts) if part.isdigit())
        layer = ".".join(parts[: number + 1])
        left[layer] = left.get(layer, 0) + int(linear.weight.count_nonzero())
        all_of[layer] = all_of.get(layer, 0) + linear.weight.numel()
    return {layer: left[layer] / all_of[layer] for layer in left}


def _require_fours(linears: Mapping[str, nn.Linear]) -> None:
    for name, linear in linears.items():
        if linear.in_features % 4:
            raise ModelError(
                f"{name} is {linear.in_features} wide, which is no multiple of 4, and 2:4 leaves "
                "two of each four neighbours: give a share, as --sparsity 0.5"
            )
