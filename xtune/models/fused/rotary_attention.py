"""Attention layers whose rotary positions take three passes over memory in either direction.

    out = x cos + turned(x) sin, where turned(x1, x2) = (-x2, x1) on the halves of each head

Autograd goes over query and key some twenty times for it, with zero-filled copies for the halves.
Here x cos is written once and each half of x is added to the other half of it, in place.

A layer is covered if its own code projects, normalises heads if it has norms for that, rotates,
attends and projects back, and nothing else: shown with small random projections and an attention
function that records what reaches it. The settings that it passes on (scaling, window) are taken
from that record.

Shapes: T tokens, H query heads, K key and value heads, E head width.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from xtune.models.attention import NAME
from xtune.models.fused.subclassing import adopt

__all__ = ["fuse_attention", "is_attention", "rotate"]

_PROBE = "xtune_probe"
_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")


def rotate(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Rotate query and key to their positions.

    Args:
        query: [B, H, T, E].
        key: [B, K, T, E].
        cos: [B or 1, T, E], of the same dtype.
        sin: as `cos`. Neither gets a gradient.

    Returns:
        Query and key, in the order in memory that they came in.
    """
    return _Rotate.apply(query, cos, sin), _Rotate.apply(key, cos, sin)


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        half = x.shape[-1] // 2
        cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
        out = x * cos
        out[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-1)
        out[..., half:].addcmul_(x[..., :half], sin[..., half:])
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = (t.unsqueeze(1) for t in ctx.saved_tensors)
        half = grad.shape[-1] // 2
        out = grad * cos
        out[..., :half].addcmul_(grad[..., half:], sin[..., half:])
        out[..., half:].addcmul_(grad[..., :half], sin[..., :half], value=-1)
        return out, None, None


class _AttentionForward:
    """An attention layer that rotates with `rotate`; with a cache it is the family's own."""

    attention_settings: dict[str, Any]  # what the layer passes on next to the states

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        places = kwargs.get("position_embeddings")
        if (
            args
            or places is None
            or kwargs.get("past_key_values") is not None
            or self.config._attn_implementation not in (NAME, _PROBE)
            or places[0].shape[-1] != self.head_dim
        ):
            return super().forward(*args, **kwargs)  # type: ignore[misc]
        hidden = kwargs.pop("hidden_states")
        shape = (*hidden.shape[:-1], -1, self.head_dim)
        query, key, value = (
            projection(hidden).view(shape) for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        if hasattr(self, "q_norm"):
            query, key = self.q_norm(query), self.k_norm(key)
        query, key, value = (states.transpose(1, 2) for states in (query, key, value))
        cos, sin = places
        dtype = torch.promote_types(query.dtype, cos.dtype)
        cos, sin, query, key = (states.to(dtype) for states in (cos, sin, query, key))
        query, key = rotate(query, key, cos, sin)
        for name in ("position_embeddings", "past_key_values"):
            kwargs.pop(name, None)
        attend = ALL_ATTENTION_FUNCTIONS[self.config._attn_implementation]
        out, weights = attend(
            self,
            query,
            key,
            value,
            kwargs.pop("attention_mask", None),
            dropout=self.attention_dropout if self.training else 0.0,
            **self.attention_settings,
            **kwargs,
        )
        return self.o_proj(out.reshape(*hidden.shape[:-1], -1).contiguous()), weights


def is_attention(layer: nn.Module) -> bool:
    """Tell whether a layer has the four projections of attention, under Llama's names."""
    children = {name for name, _ in layer.named_children()}
    return children >= set(_PROJECTIONS) and hasattr(layer, "head_dim") and hasattr(layer, "config")


def fuse_attention(layer: nn.Module) -> bool:
    """Let an attention layer use `rotate` if its own code gives the same; tell whether it does."""
    if not is_attention(layer):
        return False
    probe: Any = _with_small_projections(layer)
    try:
        expected = _asked(probe)
        known = ("position_ids", "cache_position", "use_cache", "cu_seq_lens_q")  # given it here
        settings = {
            name: value
            for name, value in expected["settings"].items()
            if name not in known and name != "dropout"
        }
        adopt(probe, _AttentionForward)
        probe.attention_settings = settings
        ours = _asked(probe)
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    except Exception:  # whatever code that is: it does something else
        return False
    adopt(layer, _AttentionForward)
    layer.attention_settings = settings  # type: ignore[assignment]
    return True


def _with_small_projections(layer: Any) -> nn.Module:
    probe = copy.copy(layer)
    generator = torch.Generator().manual_seed(0)
    small: dict[str, nn.Module] = {  # without a draw from the run's random numbers
        name: nn.utils.skip_init(nn.Linear, 6, getattr(layer, name).out_features)
        for name in _PROJECTIONS[:3]
    }
    small["o_proj"] = nn.utils.skip_init(nn.Linear, layer.o_proj.in_features, 6)
    with torch.no_grad():
        for projection in small.values():
            for parameter in projection.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    norms = {
        name: copy.deepcopy(module).float()
        for name, module in layer._modules.items()
        if name not in _PROJECTIONS and module is not None
    }
    probe._modules = {**small, **norms}
    probe.config = copy.copy(layer.config)
    probe.config._attn_implementation = _PROBE
    return probe.train()


@torch.no_grad()
def _asked(probe: Any) -> dict[str, Any]:
    """What reaches the attention function, and what the layer returns."""
    generator = torch.Generator().manual_seed(1)
    hidden = 30 * torch.randn(1, 5, 6, generator=generator)  # some families clamp what is large
    # Some scale by position, beyond what they were first trained on.
    positions = torch.tensor([[0, 9_000, 70_000, 300_000, 5_000_000]])
    cos, sin = (torch.randn(1, 5, probe.head_dim, generator=generator) for _ in range(2))
    record: dict[str, Any] = {}
    out = probe(
        hidden_states=hidden,
        position_embeddings=(cos, sin),
        attention_mask=None,
        past_key_values=None,
        position_ids=positions,
        cache_position=positions[0],
        use_cache=False,
        cu_seq_lens_q=torch.tensor([0, 5]),
        probe_record=record,
    )
    return {**record, "out": out[0], "outputs": len(out)}


def _recording_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    probe_record: dict[str, Any],
    **settings: Any,
) -> tuple[Tensor, None]:
    """Attention for `_asked` alone: it notes what it is given, and returns the query scaled."""
    probe_record.update(
        query=query, key=key, value=value, mask=attention_mask, settings=dict(settings)
    )
    scale = torch.arange(1.0, query.shape[-1] + 1)
    return (query * scale).transpose(1, 2), None


AttentionInterface.register(_PROBE, _recording_attention)
