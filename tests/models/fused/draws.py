"""Plain PEFT layers that drop what fused ones drop, if both draw from one seed."""

from __future__ import annotations

from torch import nn

from xtune.models.fused.lora_linear import draw_kept

__all__ = ["draw_alike"]


class _DrawsAlike(nn.Dropout):
    def forward(self, x):
        return x * draw_kept(x, self.p) / (1 - self.p) if self.training and self.p else x


def draw_alike(model: nn.Module) -> None:
    """Let all dropout of `model` be drawn as fused LoRA layers draw theirs."""
    for module in model.modules():
        if type(module) is nn.Dropout:
            module.__class__ = _DrawsAlike
