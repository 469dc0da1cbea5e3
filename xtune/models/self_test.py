"""A model proves, on four tokens, that packing does not change what it computes.

A family may do something between backbone and logits, or between tokens, that this package does
not know of. Then its packed loss would be silently wrong; so every model is asked once, when it
is built: two documents of two tokens end to end, against the second one alone through the
model's own forward pass.
"""

from __future__ import annotations

import torch

from xtune.errors import ModelError
from xtune.models.generation import base_of, generation_mode
from xtune.models.head import Head
from xtune.models.sft import SupervisedFinetune
from xtune.structures import Batch

__all__ = ["check_packed_logits"]

_TOLERATED = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 8e-2}


@torch.no_grad()
def check_packed_logits(model: SupervisedFinetune) -> None:
    """Compare the logits of the training path with those of the model's own forward pass.

    Raises:
        ModelError: they differ by more than rounding; with the family's name and by how much.
    """
    base = base_of(model.llm)
    device = base.device
    ids = torch.tensor([[5, 6, 7, 8]], device=device)
    batch = Batch(
        input_ids=ids,
        position_ids=torch.tensor([[0, 1, 0, 1]], device=device),
        labels=torch.full_like(ids, -100),
        cu_seqlens=torch.tensor([0, 2, 4], dtype=torch.int32, device=device),
        max_seqlen=2,
    )
    training = model.training
    model.eval()
    packed = Head.of(base).logits(model.hidden_states(batch))[0, 2:]
    model.train(training)
    with generation_mode(model.llm):
        alone = base(input_ids=ids[:, 2:], use_cache=False).logits[0]
    size = alone.float().abs().max().clamp(min=1e-6)
    difference = float((packed.float() - alone.float()).abs().max() / size)
    if not difference <= _TOLERATED.get(alone.dtype, 8e-2):
        raise ModelError(
            f"{base.config.get_text_config().model_type!r} does not give the same logits on packed "
            f"documents as on single ones (relative difference {difference:.1e}), so training it "
            "here would be silently wrong. Please report the family"
        )
