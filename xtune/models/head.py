"""A model's head, called apart from its backbone, on the trained positions only.

Shapes: N positions, D width, V vocabulary.

What some families do to the logits after the head is honoured here: Gemma bounds them, Cohere,
Granite and Falcon-H1 scale them. `xtune.models.self_test` finds what is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from xtune.losses import check_temperature, chunked_cross_entropy, chunked_log_probs
from xtune.structures import IGNORE_INDEX

__all__ = ["Head", "ScoreHead", "score_head"]


class ScoreHead(nn.Linear):
    """A reward model's head: [..., D] -> [..., 1] in fp32, whatever the layers are computed in."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the scores.

        Args:
            hidden: of any dtype.
        """
        with torch.autocast(hidden.device.type, enabled=False):
            return F.linear(hidden.float(), self.weight.float())


def score_head(base: PreTrainedModel) -> nn.Module | None:
    """Return the module that scores, within PEFT's wrapper if it has one; None if none does.

    Args:
        base: a transformers model.
    """
    return getattr(base, "score", None)


@dataclass(frozen=True, slots=True)
class Head:
    """The module from hidden states to logits, and what the family does to these.

    Attributes:
        module: [N, D] -> [N, V].
        scale: factor of the logits.
        softcap: c of `c * tanh(logits / c)`, applied after `scale`.
    """

    module: nn.Module
    scale: float = 1.0
    softcap: float | None = None

    @classmethod
    def of(cls, base: PreTrainedModel) -> Head:
        """Read the head of a transformers model; PEFT may have wrapped the module."""
        module: Any = base.get_output_embeddings() or score_head(base)
        if hasattr(module, "modules_to_save"):  # PEFT's wrapper around a head that is trained
            trained = module.modules_to_save[module.active_adapters[0]]
            module = module.original_module if module.disable_adapters else trained
        config = base.config.get_text_config()
        scale = getattr(config, "logit_scale", None) or 1.0
        scale *= getattr(config, "lm_head_multiplier", None) or 1.0
        return cls(
            module=module,
            scale=scale / (getattr(config, "logits_scaling", None) or 1.0),
            softcap=getattr(config, "final_logit_softcapping", None),
        )

    @property
    def is_matrix(self) -> bool:
        """Whether the loss takes its weight; it calls any other module, once a chunk."""
        return isinstance(self.module, ScoreHead) or self._whole_weight() is not None

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits [N, V] of hidden states [N, D]."""
        logits = self.module(hidden) * self.scale
        if self.softcap is not None:
            logits = self.softcap * torch.tanh(logits / self.softcap)
        return logits

    def loss(
        self, hidden: Tensor, labels: Tensor, *, chunk_size: int, weights: Tensor | None = None
    ) -> Tensor:
        """Sum the cross-entropy of the positions that have a label, never holding [N, V].

        Args:
            hidden: [N, D].
            labels: int64 [N]; -100 where nothing is trained.
            chunk_size: positions whose logits are held at once.
            weights: fp32 [N]; the factor of each position's loss; None: 1.

        Returns:
            fp32 scalar.
        """
        weight = self._whole_weight()
        if weight is not None:
            return chunked_cross_entropy(
                self._scaled(hidden),
                weight,
                labels,
                bias=self._scaled(self._bias()),
                softcap=self.softcap,
                chunk_size=chunk_size,
                weights=weights,
            )
        trained = labels != IGNORE_INDEX
        hidden, labels = hidden[trained], labels[trained]
        factors = None if weights is None else weights[trained]
        total = hidden.sum().float() * 0.0  # connected also when nothing is trained
        if not len(labels):
            return total + self._zero(hidden)
        for loss in _by_chunks(self._chunk_loss, hidden, labels, factors, chunk_size=chunk_size):
            total = total + loss
        return total

    def log_probs(
        self,
        hidden: Tensor,
        targets: Tensor,
        *,
        chunk_size: int,
        temperature: float = 1.0,
        squares: Tensor | None = None,
    ) -> Tensor:
        """Return the log-probability of each position's target, never holding [N, V].

        The same for every head: what the family does to its logits, adapters on the head and a
        bias are in it. An adapter's dropout is too, while the module is in training mode.

        Args:
            hidden: [N, D]; position t is asked for the token at t + 1.
            targets: int64 [N]; -100 where nothing is asked.
            chunk_size: positions whose logits are held at once, forwards and backwards.
            temperature: of the sampling whose log-probabilities they are, above 0.
            squares: fp32 [N], written where a target is asked for: log sum_v p_v^2, without a
                gradient.

        Returns:
            fp32 [N], in nats; 0 with a gradient of zero where the target is -100. Connected to
            `hidden`, and to the weights of the head, also where there is no target.

        Raises:
            ConfigError: a temperature that is not above 0.
        """
        weight = self._whole_weight()
        if weight is not None:
            return chunked_log_probs(
                self._scaled(hidden),
                weight,
                targets,
                bias=self._scaled(self._bias()),
                softcap=self.softcap,
                temperature=temperature,
                chunk_size=chunk_size,
                squares=squares,
            )
        check_temperature(temperature)
        places = (targets != IGNORE_INDEX).nonzero().squeeze(1)
        hidden, given = hidden[places], targets[places]

        def chunk_log_probs(hidden: Tensor, targets: Tensor, at: Tensor) -> Tensor:
            logits = self.logits(hidden).float() / temperature
            if squares is not None:
                with torch.no_grad():
                    squares[at] = (2 * logits).logsumexp(-1) - 2 * logits.logsumexp(-1)
            return -F.cross_entropy(logits, targets, reduction="none")

        chunks = list(_by_chunks(chunk_log_probs, hidden, given, places, chunk_size=chunk_size))
        if not chunks:
            chunks = [hidden.sum(dim=1).float() + self._zero(hidden)]
        log_probs = torch.zeros(len(targets), dtype=torch.float32, device=hidden.device)
        return log_probs.index_put((places,), torch.cat(chunks))

    def _whole_weight(self) -> Any:
        """The matrix [V, D] that the hidden states are multiplied with, if it is just that.

        It is not for a quantized head, or for one with LoRA on it: these are called as any module
        is, and their logits made again in the backward pass.
        """
        if type(self.module) is nn.Linear:  # not its subclasses: a quantized weight is packed
            return self.module.weight
        if hasattr(self.module, "token_adapter"):  # PEFT's wrapper: some rows are trained
            return self.module.weight
        return getattr(self.module, "effective_weight", None)  # Baichuan 2's is normalised

    def _bias(self) -> Tensor | None:
        return self.module.bias if type(self.module) is nn.Linear else None

    def _scaled(self, tensor: Any) -> Any:
        """`scale` times the hidden states and the bias is `scale` times the logits."""
        return tensor if tensor is None or self.scale == 1.0 else tensor * self.scale

    def _zero(self, hidden: Tensor) -> Tensor:
        """0, connected to the head's weights: each process exchanges the same gradients."""
        return self.logits(hidden.new_zeros(1, hidden.shape[-1])).float().sum() * 0.0

    def _chunk_loss(self, hidden: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        logits = self.logits(hidden).float()
        if weights is None:
            return F.cross_entropy(logits, labels, reduction="sum")
        return (F.cross_entropy(logits, labels, reduction="none") * weights).sum()


def _by_chunks(
    function: Callable[..., Tensor],
    hidden: Tensor,
    *vectors: Tensor | None,
    chunk_size: int,
) -> Iterator[Tensor]:
    """What a function gives for each chunk of [N, …] tensors; computed again to go backward."""
    for start in range(0, len(hidden), chunk_size):
        place = slice(start, start + chunk_size)
        others = [None if vector is None else vector[place] for vector in vectors]
        yield checkpoint(function, hidden[place], *others, use_reentrant=False)
