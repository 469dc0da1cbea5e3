"""A model proves, on a few tokens, that packing does not change what it computes.

A family may do something between backbone and logits, or between tokens, that this package does
not know of. Then its packed loss would be silently wrong; so every model is asked once, when it
is built: documents of two tokens end to end, against each alone through the model's own forward
pass; and for an algorithm of answers to one prompt, documents whose first token is computed once.
Where several processes share each row it proves besides that its slices are what the whole row is.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from xtune.errors import ModelError
from xtune.models.algorithms.backbone import Backbone
from xtune.models.algorithms.base import Algorithm
from xtune.models.generation import generation_mode
from xtune.models.sequence_classifier import is_classifier
from xtune.parallel.sequence import SequenceGroup
from xtune.parallel.slices import slice_of
from xtune.structures import Batch

__all__ = ["check_backbone", "check_packed_logits", "check_slices"]

logger = logging.getLogger(__name__)

_TOLERATED = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 8e-2}
# In bf16 rounding makes about 1 % of most two tokens of SmolLM2's, but up to 40 % of a few; that a
# document sees another makes 17 to 104 % (2026-11-26). The one in the middle tells them apart.
_DOCUMENTS = 6


def check_packed_logits(model: Algorithm) -> None:
    """Compare the logits of the training path with those of each model's own forward pass.

    Raises:
        ModelError: as of `check_backbone`.
    """
    for backbone in model.backbones():
        check_backbone(backbone, answers=model.learns_from == "pairs")


@torch.no_grad()
def check_backbone(backbone: Backbone, *, answers: bool) -> None:
    """Compare what a model makes of packed documents with its own forward pass on each.

    A model that is wrong only where documents share their beginning computes it for each from now
    on; the log says so.

    Args:
        backbone: of the model.
        answers: it is to be given answers to one prompt, which share their beginning.

    Raises:
        ModelError: they differ by more than rounding; with the family's name and by how much.
    """
    ids = 5 + torch.arange(2 * _DOCUMENTS, device=backbone.base.device).view(_DOCUMENTS, 2)
    difference, tolerated = _how_far(_packed(backbone, ids), _alone(backbone, ids))
    if not difference <= tolerated:
        raise ModelError(
            f"{backbone.family!r} does not give the same logits on packed "
            f"documents as on single ones (relative difference {difference:.1e}), so training "
            "it here would be silently wrong. Please report the family"
        )
    if answers:
        ids[:, 0] = 5  # all begin with one token, which is held against each having it itself
        once = _packed(backbone, ids, answers=True)
        difference, tolerated = _how_far(once, _packed(backbone, ids))
        if not difference <= tolerated:
            backbone.shares_prompts = False
            logger.info(
                "%r computes a prompt for each of its answers: once for all gives other logits "
                "(relative difference %.1e)",
                *(backbone.family, difference),
            )


def _packed(backbone: Backbone, ids: Tensor, *, answers: bool = False) -> Tensor:
    """The logits of documents [_DOCUMENTS, 2] end to end; with `answers` of those to one prompt."""
    device = backbone.base.device
    batch = Batch(
        input_ids=ids.view(1, -1),
        position_ids=torch.arange(2, device=device).repeat(1, _DOCUMENTS),
        labels=torch.full_like(ids, -100).view(1, -1),
        cu_seqlens=torch.arange(0, ids.numel() + 1, 2, dtype=torch.int32, device=device),
        max_seqlen=2,
        per_document={"side": torch.arange(_DOCUMENTS, device=device)} if answers else {},
    )
    training = backbone.model.training
    backbone.model.eval()
    packed = _compared(backbone, batch).view(*ids.shape, -1)
    backbone.model.train(training)
    return packed


def _alone(backbone: Backbone, ids: Tensor) -> Tensor:
    """What the model's own forward pass makes of each document."""
    base = backbone.base
    with generation_mode(backbone.model):
        if is_classifier(base):
            return backbone.body(ids, use_cache=False).last_hidden_state
        return base(input_ids=ids, use_cache=False).logits


def _how_far(logits: Tensor, right: Tensor) -> tuple[float, float]:
    """How far the logits of documents are from what is right, and how far they may be."""
    # The first document has none before it
    pairs = zip(logits[1:], right[1:], strict=True)
    difference = float(torch.tensor([_difference(*pair) for pair in pairs]).median())
    return difference, _TOLERATED.get(right.dtype, 1e-3)


@torch.no_grad()
def check_slices(model: Algorithm, group: SequenceGroup) -> None:
    """Compare this process's slice of a row with the same positions of the whole row.

    Args:
        model: the same on each process of the group; all must call this.
        group: who is to share the rows. One process alone has nothing to prove.

    Raises:
        ModelError: the family is run document by document; or the logits differ by more than
            rounding, since something other than xtune's attention looks along the row.
    """
    if group.size == 1:
        return
    for backbone in model.backbones():
        _check_slices(backbone, group)


def _check_slices(backbone: Backbone, group: SequenceGroup) -> None:
    kind = backbone.family
    way_out = "Set sequence_parallel_size=1, or train another family"
    if backbone.why_apart is not None:
        raise ModelError(
            f"{kind!r} is run document by document, so that processes cannot share its rows: "
            f"{backbone.why_apart}. {way_out}"
        )
    # Two documents, the first of which ends in the second half: every slice but one begins or
    # ends within a document.
    lengths = torch.tensor([2 * group.size + 1, 2 * group.size - 1])
    positions = torch.cat([torch.arange(length) for length in lengths])
    ids = 5 + positions % 4
    row = Batch(
        input_ids=ids[None],
        position_ids=positions[None],
        labels=torch.full_like(ids, -100)[None],
        cu_seqlens=torch.cat([torch.zeros(1), lengths.cumsum(0)]).int(),
        max_seqlen=int(lengths[0]),
    ).to(backbone.base.device)
    training = backbone.model.training
    backbone.model.eval()
    own = _compared(backbone, slice_of(row, group))[0]
    whole = _compared(backbone, row)[0].chunk(group.size)[group.rank]
    backbone.model.train(training)
    difference = _difference(own, whole)
    if not difference <= _TOLERATED.get(whole.dtype, 1e-3):
        raise ModelError(
            f"{kind!r} does not give the same logits for a slice of a row as for the whole row "
            f"(relative difference {difference:.1e}): something in it besides its attention looks "
            f"along the row. {way_out}"
        )


def _compared(backbone: Backbone, batch: Batch) -> Tensor:
    """Logits; hidden states of a model that scores, whose own pass scores the last token alone."""
    hidden = backbone.hidden_states(batch)
    return hidden if is_classifier(backbone.base) else backbone.head.logits(hidden)


def _difference(one: Tensor, other: Tensor) -> float:
    """The norm of the difference, relative to that of `other`: one number alone may be far off."""
    size = other.float().norm().clamp(min=1e-6)
    return float((one.float() - other.float()).norm() / size)
