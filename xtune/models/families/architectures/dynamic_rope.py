"""Rotary embedding whose base grows with the length of a document: dynamic NTK scaling.

Beyond the trained length L0 the base b becomes b (f L / L0 - (f - 1))^(E / (E - 2)) for a document
of L tokens, a factor f and heads of width E, so that the slowest frequency fits L (bloc97, 2023,
as InternLM 2 and transformers have it).

transformers' own module takes one L for a whole call and keeps the grown frequencies for later,
shorter calls. Here L belongs to the document that a token is in, and nothing is kept, so that a
document's logits depend neither on its neighbours in a pack nor on what was computed before.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

__all__ = ["DynamicRotaryEmbedding", "document_lengths"]


class DynamicRotaryEmbedding(nn.Module):
    """Cosines and sines [B, T, E] for positions [B, T]; each document scaled by its own length.

    Args:
        config: with head_dim (or the sizes it follows from), max_position_embeddings (L0), and
            rope_parameters' rope_theta (b) and factor (f).
    """

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.width = getattr(config, "head_dim", config.hidden_size // config.num_attention_heads)
        self.trained_length = config.max_position_embeddings
        self.base = config.rope_parameters["rope_theta"]
        self.factor = config.rope_parameters.get("factor", 1.0)

    @torch.no_grad()
    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Compute them in fp32 and return them in the format of `x`.

        Args:
            x: hidden states; only device and dtype are used.
            position_ids: int64 [B, T]; a document is a run of consecutive positions.
        """
        exponents = torch.arange(0, self.width, 2, device=x.device, dtype=torch.float32)
        exponents = exponents / self.width
        bases = self.base * self.growth(position_ids) ** (self.width / (self.width - 2))  # [B, T]
        angles = position_ids[..., None].float() * bases[..., None] ** -exponents
        angles = torch.cat([angles, angles], dim=-1)
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)

    def growth(self, position_ids: Tensor) -> Tensor:
        """Return how often the trained length the slowest frequency must span: fp32 [B, T]."""
        lengths = document_lengths(position_ids).float()
        growth = self.factor * lengths / self.trained_length - (self.factor - 1)
        return torch.where(lengths > self.trained_length, growth, torch.ones_like(growth))


def document_lengths(position_ids: Tensor) -> Tensor:
    """The length of the document that each token is in, as far as the row shows it: [B, T].

    positions  0 1 2 3 0 1   7
    lengths    4 4 4 4 2 2   8      (7 alone: one step of cached generation)
    """
    begins = torch.ones_like(position_ids, dtype=torch.bool)
    begins[:, 1:] = position_ids[:, 1:] != position_ids[:, :-1] + 1
    document = begins.cumsum(1) - 1  # [B, T], 0, 1, …
    last = torch.zeros_like(position_ids)
    last.scatter_reduce_(1, document, position_ids + 1, reduce="amax")
    return last.gather(1, document)
