"""The arithmetic that a training step cannot do without, counted from the model's own matrices.

Symbols: N weights of the backbone's matrix products, H of the head's, r of the adapter's; T tokens
of a document, s positions that have a label, A attention's forward pass.

    forward pass          2 N a token, 2 H a trained position, A = 2 W T^2 / 2 a document and layer
    gradient by input     the same again (twice for A), from the lowest trained weight upwards
    gradient by weight    2 a trained weight and token: none for frozen ones

so that training all weights takes 6 N + 3 A, and LoRA 4 N + 6 r + 3 A (Kaplan et al. 2020,
arXiv 2001.08361, section 2.1; Chowdhery et al. 2022, arXiv 2204.02311, appendix B, for A and for
leaving out what is computed a second time: with gradient checkpointing the count is the same).
A multiplication and its addition are 2 FLOPs. W is the width of queries and of values together;
half of T^2 because a token sees only those before it; a window sees less.

Not counted: look-ups in the embedding, norms, element-wise work, the optimizer, what is recomputed,
what 4-bit weights take to unpack. Counted though it is not done: the gradient by the input of the
other projections besides the lowest trained one, less than 1 % of a model of 24 layers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from xtune.models.algorithms.backbone import Backbone
from xtune.models.algorithms.base import Algorithm
from xtune.models.packed.linear import PackedLinear

__all__ = ["Work", "count_work"]

_UNUSED = (
    "original_module",
    "trainable_tokens",
    "lora_embedding_A",
)  # PEFT's; no product with them


@dataclass(frozen=True, slots=True)
class Work:
    """What one token costs in training, in multiplications with their additions.

    Attributes:
        body: of the backbone's matrices, a token: 3 N if all is trained, 2 N + 3 r with LoRA.
        head: of the head's, a trained position.
        attention: window (None: all before it) -> summed over the layers, W times the passes over
            the scores: 3, or 1 below the lowest trained weight.
    """

    body: float
    head: float
    attention: Mapping[int | None, int] = field(default_factory=dict)

    def flops(
        self, lengths: Iterable[int], trained: int, *, shared: Iterable[int] | None = None
    ) -> float:
        """Return the FLOPs of training on some documents.

        >>> work = Work(body=10, head=5, attention={None: 8})
        >>> work.flops([2, 4], trained=3), work.flops([4, 4], trained=3, shared=[0, 2])
        (310.0, 374.0)

        Args:
            lengths: T of each document: `batch.cu_seqlens.diff()`.
            trained: positions that have a label, in all of them.
            shared: of each document, how many of its first tokens another one has computed.
        """
        lengths = list(lengths)
        done = [0] * len(lengths) if shared is None else list(shared)
        scores = sum(
            width
            * sum(
                _pairs(n, window) - _pairs(of, window) for n, of in zip(lengths, done, strict=True)
            )
            for window, width in self.attention.items()
        )
        tokens = sum(lengths) - sum(done)
        return 2.0 * (tokens * self.body + trained * self.head + scores)


def count_work(model: Algorithm) -> Work:
    """Count the work of an algorithm's language models, with weights or on 'meta'.

    Each runs once; a token takes as many of a layer's experts as the config says.
    """
    body = head = 0.0
    attention: Counter[int | None] = Counter()
    for work in map(_work_of, model.backbones()):
        body, head = body + work.body, head + work.head
        attention.update(work.attention)
    return Work(body=body, head=head, attention=dict(attention))


def _work_of(backbone: Backbone) -> Work:
    base = backbone.base
    config = base.config.get_text_config()
    head_of = base.get_output_embeddings()
    in_head = set() if head_of is None else set(head_of.modules())
    body = head = 0.0
    lowest: int | None = None
    layers: set[int] = set()
    for name, weight, module in _matrices(backbone.model):
        number = re.search(r"\.(\d+)\.", name)
        layer = int(number[1]) if number else None
        size = _size(weight, module) * (_active_share(config) if ".experts." in name else 1.0)
        # What comes before the lowest trained weight in the forward pass has no gradient.
        has_gradient = lowest is not None
        if weight.requires_grad and lowest is None:
            lowest = len(layers) if layer is None else layer
        if layer is not None:
            layers.add(layer)
        if any(mark in name for mark in _UNUSED) or isinstance(module, nn.Embedding):
            continue
        work = size * (1 + has_gradient + weight.requires_grad)
        if module in in_head:
            head += work
        else:
            body += work
    return Work(body=body, head=head, attention=_attention(config, lowest))


def _matrices(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, nn.Module]]:
    """Every weight of a product with its name and module; one that is shared, wherever it is."""
    for path, module in model.named_modules():
        for name, weight in module.named_parameters(recurse=False):
            if isinstance(module, PackedLinear) and name != module.packing.key:
                continue  # scales and zeros
            if weight.ndim >= 2 and not name.endswith("bias"):
                yield f"{path}.{name}", weight, module


def _size(weight: Any, module: nn.Module) -> int:
    if isinstance(module, PackedLinear):
        return module.in_features * module.out_features
    packed = getattr(weight, "quant_state", None)  # bitsandbytes: two 4-bit weights in a byte
    shape = packed.shape if packed is not None else getattr(weight, "ds_shape", weight.shape)
    return int(shape.numel())


def _active_share(config: Any) -> float:
    names = ("num_local_experts", "num_experts", "n_routed_experts")
    experts = next((n for name in names if (n := getattr(config, name, None))), 1)
    return (getattr(config, "num_experts_per_tok", None) or experts) / experts


def _attention(config: Any, lowest: int | None) -> dict[int | None, int]:
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    keys = values = width
    if rope := getattr(config, "qk_rope_head_dim", None):  # DeepSeek's latent attention
        keys, values = config.qk_nope_head_dim + rope, config.v_head_dim
    widths: Counter[int | None] = Counter()
    for layer, window in enumerate(_windows(config)):
        if window != 0:
            passes = 3 if lowest is not None and layer >= lowest else 1
            widths[window] += heads * (keys + values) * passes
    return dict(widths)


def _windows(config: Any) -> list[int | None]:
    """For each layer: how far back a token sees, None for all, 0 where there is no attention."""
    window = getattr(config, "sliding_window", None)
    if getattr(config, "use_sliding_window", True) is False:
        window = None
    kinds = getattr(config, "layer_types", None)
    if kinds is None:
        return [window] * config.num_hidden_layers
    known = {"full_attention": None, "sliding_attention": window}
    return [known.get(kind, 0) for kind in kinds]


def _pairs(length: int, window: int | None) -> float:
    """Query and key together, half of those on the diagonal counted."""
    if window is None or length <= window:
        return length * length / 2
    return window * window / 2 + (length - window) * window
