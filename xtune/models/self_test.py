"""A model proves, on a few tokens, that packing does not change what it computes.

A family may do something between backbone and logits, or between tokens, that this package does
not know of. Then its packed loss would be silently wrong; so every model is asked once, when it
is built: documents of two tokens end to end, against each alone through the model's own forward
pass. Where several processes share each row it proves besides that its slices are what the whole
row is.
"""

from __future__ import annotations

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

__all__ = ["check_packed_logits", "check_slices"]

_TOLERATED = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 8e-2}
# In bf16 rounding makes about 1 % of most two tokens of SmolLM2's, but up to 40 % of a few; that a
# document sees another makes 17 to 104 % (2026-11-26). The one in the middle tells them apart.
_DOCUMENTS = 6


@torch.no_grad()
def check_packed_logits(model: Algorithm) -> None:
    """Compare the logits of the training path with those of each model's own forward pass.

    Raises:
        ModelError: they differ by more than rounding; with the family's name and by how much.
    """
    for backbone in model.backbones():
        _check_packed(backbone)


def _check_packed(backbone: Backbone) -> None:
    base = backbone.base
    device = base.device
    ids = 5 + torch.arange(2 * _DOCUMENTS, device=device).view(_DOCUMENTS, 2)
    batch = Batch(
        input_ids=ids.view(1, -1),
        position_ids=torch.arange(2, device=device).repeat(1, _DOCUMENTS),
        labels=torch.full_like(ids, -100).view(1, -1),
        cu_seqlens=torch.arange(0, ids.numel() + 1, 2, dtype=torch.int32, device=device),
        max_seqlen=2,
    )
    training = backbone.model.training
    backbone.model.eval()
    packed = _compared(backbone, batch).view(*ids.shape, -1)
    backbone.model.train(training)
    with generation_mode(backbone.model):
        if is_classifier(base):
            alone = backbone.body(ids, use_cache=False).last_hidden_state
        else:
            alone = base(input_ids=ids, use_cache=False).logits
    # The first document has none before it
    pairs = zip(packed[1:], alone[1:], strict=True)
    difference = float(torch.tensor([_difference(*pair) for pair in pairs]).median())
    if not difference <= _TOLERATED.get(alone.dtype, 1e-3):
        raise ModelError(
            f"{backbone.family!r} does not give the same logits on packed "
            f"documents as on single ones (relative difference {difference:.1e}), so training it "
            "here would be silently wrong. Please report the family"
        )


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
