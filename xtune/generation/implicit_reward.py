"""`ImplicitReward`: what DPO has taught a policy, as a score of answers."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xtune.errors import UsageError
from xtune.generation.locate import locate, training_notes
from xtune.generation.scorer import Scorer, backbone_of, device_to_score_on, loaded_fields
from xtune.models import Backbone, load_model
from xtune.models.quantization import quantization_of_bits
from xtune.parallel.slices import sum_by_document
from xtune.structures import Batch

__all__ = ["ImplicitReward"]

_CHUNK = 256  # positions whose logits are held at once


@dataclass(slots=True)
class ImplicitReward(Scorer):
    """What DPO has taught a policy: beta (log p(answer) - log p_ref(answer)).

    Attributes:
        policy: the model.
        reference: another one; None: `policy` without its adapter.
        beta: of the training; it decides how sure the numbers look, and not which is larger.
    """

    policy: Backbone
    reference: Backbone | None = None
    beta: float = 0.1

    @classmethod
    def load(
        cls,
        name_or_path: str,
        *,
        adapter: str | None = None,
        reference: str | None = None,
        beta: float = 0.1,
        bits: int | None = None,
        dtype: str = "auto",
    ) -> ImplicitReward:
        """Load a policy and what it is held against.

        Args:
            name_or_path: as `RewardScorer.load`, of a language model.
            adapter: likewise.
            reference: another model; None: the policy without its adapter.
            beta: of the training.
            bits: likewise.
            dtype: likewise.

        Raises:
            UsageError: there is no reference.
            ModelError, AdapterError: one of them cannot be loaded.
        """
        found = locate(name_or_path, adapter)
        if found.adapter is None and reference is None:
            raise UsageError(
                f"{name_or_path!r} has no adapter, without which it would be the reference: name "
                "the model that its training began with: --reference MODEL"
            )
        settings: dict[str, Any] = {
            "dtype": dtype,
            "quantization": quantization_of_bits(bits),
            "device": device_to_score_on(),
        }
        llm: Any = load_model(found.model, **settings)
        if found.adapter is not None:
            from xtune.models import load_adapter  # imports PEFT

            llm = load_adapter(llm, found.adapter)
        other = None if reference is None else load_model(locate(reference).model, **settings)
        return cls(
            **loaded_fields(found, name_or_path, training_notes(found.trained), llm),
            policy=backbone_of(llm),
            reference=None if other is None else backbone_of(other),
            beta=beta,
        )

    @property
    def about(self) -> dict[str, Any]:
        """See `Scorer`."""
        return {
            "kind": "implicit reward",
            "reading": "log-probabilities",
            "shift": 0.0,
            "beta": self.beta,
            "reference": "without its adapter"
            if self.reference is None
            else self.reference.base.name_or_path,
        }

    @property
    def device(self) -> torch.device:
        """See `Scorer`."""
        return self.policy.base.device

    def scores(self, batch: Batch) -> Tensor:
        """See `Scorer`.

        Args: as `Scorer.scores`.
        """
        own = self.policy.log_probs(batch, chunk_size=_CHUNK)
        llm: Any = self.policy.model
        backbone = self.reference or self.policy
        with nullcontext() if self.reference is not None else llm.disable_adapter():
            other = backbone.log_probs(batch, chunk_size=_CHUNK)
        return self.beta * sum_by_document(own - other, batch)
