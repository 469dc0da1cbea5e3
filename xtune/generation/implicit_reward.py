"""`ImplicitReward`: what DPO has taught a policy, as a score of answers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xtune.errors import UsageError
from xtune.generation.locate import Located, locate, training_notes
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
        named: the reference, in words.
    """

    policy: Backbone
    reference: Backbone | None = None
    beta: float = 0.1
    named: str = "without its adapter"

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
            reference: another model or adapter; None: the adapter that the policy's own was trained
                further from, if it was, and else the policy without its adapter.
            beta: of the training.
            bits: likewise.
            dtype: likewise.

        Raises:
            UsageError: there is no reference.
            ModelError, AdapterError: one of them cannot be loaded.
        """
        found = locate(name_or_path, adapter)
        notes = training_notes(found.trained)
        reference = reference or _start_of(notes)
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
        llm = _loaded(found, settings)
        return cls(
            **loaded_fields(found, name_or_path, notes, llm),
            policy=backbone_of(llm),
            reference=None
            if reference is None
            else backbone_of(_loaded(locate(reference), settings)),
            beta=beta,
            named=reference or "without its adapter",
        )

    @property
    def about(self) -> dict[str, Any]:
        """See `Scorer`."""
        return {
            "kind": "implicit reward",
            "reading": "log-probabilities",
            "shift": 0.0,
            "beta": self.beta,
            "reference": self.named,
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


def _start_of(notes: Mapping[str, Any]) -> str | None:
    """The adapter that a policy was trained further from: its reference, which no base is.

    Raises:
        UsageError: it is there no more, or another one is in its place.
    """
    began = notes.get("began_with") or {}
    named = began.get("adapter")
    if named is None:
        return None
    weights = Path(named).expanduser() / "adapter_model.safetensors"
    found = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else None
    if found is None or found != began.get("sha256", found):
        there = "has another one now" if found else "has none now"
        raise UsageError(
            f"the training began with the adapter in {named!r}, which is the reference, and the "
            f"folder {there}: name where it is, --reference DIR, or another model"
        )
    return str(named)


def _loaded(found: Located, settings: Mapping[str, Any]) -> Any:
    """A model, with the adapter that was meant."""
    llm: Any = load_model(found.model, **settings)
    if found.adapter is None:
        return llm
    from xtune.models import load_adapter  # imports PEFT

    return load_adapter(llm, found.adapter)
