"""What a training run will need in memory, by component, before any weight is loaded.

Symbols: P parameters, T tokens of a micro-batch, L layers, D width, K width of the keys, F width
of the MLP, V vocabulary, b bytes of a number in the compute format.

    frozen weights   P b; a linear layer in NF4 4.127 bits a weight with double quantization
    trained weights  4 P: fp32
    gradients        4 P trained
    optimizer        8 P trained: Adam's two moments
    activations      1.36 (8 D + 2 K + 4 F) b L T; of a checkpointed layer D b T, nothing if
                     these are offloaded; and those of the one that is computed again
    loss             logits of one chunk and their gradient, 8 V C, and the head in the compute
                     format if its weight is in another
    new rows         V D: embedding or head with the new rows in it, b, and its gradient, 8
    runtime          libraries, kernels, the allocator's reserve

The formula for activations counts what fused kernels save; 1.36 is what plain PyTorch and PEFT
keep besides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from xtune.models.build import build_model
from xtune.models.generation import base_of
from xtune.models.precision import Precision
from xtune.models.vocabulary import Pieces

__all__ = ["MemoryEstimate", "estimate_memory", "fits", "memory_of", "smallest_card"]

_GIB = 2**30
_CARDS = (8, 12, 16, 24, 32, 40, 48, 80, 96, 141)  # GB of memory that GPUs are sold with
_ROOM = 0.85  # of a card: the rest is for fragments, and for what an estimate does not know
_EAGER = 1.36
_RUNTIME = 0.6 * _GIB
_NF4_BITS = {True: 4.127, False: 4.5}  # with and without double quantization


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes by component.

    Attributes:
        components: name -> bytes, in the order of the module docstring.
        trainable: parameters that are trained.
        parameters: all parameters, shared ones once.
    """

    components: dict[str, int]
    trainable: int
    parameters: int

    @property
    def total(self) -> int:
        """Bytes in all."""
        return sum(self.components.values())

    def lines(self) -> Iterator[str]:
        """Yield the total, then one line a component."""
        yield f"about {self.total / _GIB:.1f} GiB"
        for name, size in self.components.items():
            yield f"{size / _GIB:8.2f} GiB  {name}"


def smallest_card(gib: float) -> int | None:
    """Return the GB of the smallest GPU that so many GiB are likely to fit, or None.

    >>> smallest_card(8.8), smallest_card(20.5), smallest_card(200)
    (12, 32, None)
    """
    return next((card for card in _CARDS if fits(gib, card)), None)


def fits(gib: float, card: float) -> bool:
    """Whether so many GiB are likely to fit a GPU sold with `card` GB: 15 % of it are left free."""
    return gib <= _ROOM * card


def estimate_memory(
    model_cfg: Mapping[str, Any],
    precision: Precision,
    tokens: int,
    trained_share: float = 1.0,
    pieces: Pieces | None = None,
) -> MemoryEstimate:
    """Estimate the peak memory of training, to about a quarter.

    Args:
        model_cfg: the sheet's `model` dict.
        precision: of the run.
        tokens: T, tokens of one micro-batch.
        trained_share: share of the tokens that have a label, 0 to 1.
        pieces: the tokens that the run adds.

    Raises:
        ModelError: the checkpoint's architecture is not known here.
    """
    model = build_model(model_cfg, device="meta", precision=precision, pieces=pieces)
    return memory_of(model, model_cfg, precision, tokens, trained_share, pieces)


def memory_of(
    model: nn.Module,
    model_cfg: Mapping[str, Any],
    precision: Precision,
    tokens: int,
    trained_share: float = 1.0,
    pieces: Pieces | None = None,
) -> MemoryEstimate:
    """Estimate as `estimate_memory` does, for a model that is built already, on 'meta'."""
    base = base_of(model.llm)
    config = base.config.get_text_config()
    number = precision.compute_dtype.itemsize
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    chunk = min(getattr(model, "loss_chunk_size", tokens), max(1, int(tokens * trained_share)))
    module = base.get_output_embeddings()
    module = getattr(module, "original_module", module)  # within PEFT's wrapper
    head = module.weight
    trainable_rows = any("trainable_tokens" in name for name, _ in model.named_parameters())
    components = {
        "frozen weights": _frozen_bytes(base, model_cfg["llm"].get("quantization")),
        "trained weights": 4 * trainable,
        "gradients": 4 * trainable,
        "optimizer": 8 * trainable,
        "activations": _activations(config, number, tokens, model_cfg),
        "loss": 8 * config.vocab_size * chunk
        + (number * head.numel() if head.dtype.itemsize != number else 0),
        # Embedding and head are put together from old rows and new ones in every step.
        **({"new rows": (number + 8) * head.numel()} if pieces and trainable_rows else {}),
        "runtime": int(_RUNTIME),
    }
    return MemoryEstimate(
        components=components,
        trainable=trainable,
        parameters=sum(p.numel() for p in model.parameters()),
    )


def _frozen_bytes(base: PreTrainedModel, quantization: Mapping[str, Any] | None) -> int:
    quantized: set[int] = set()
    bits = 0.0
    if quantization:
        bits = _NF4_BITS[quantization.get("double_quant", True)]
        bits = 8 if quantization.get("bits", 4) == 8 else bits
        head = base.get_output_embeddings()
        head = getattr(head, "original_module", head)
        quantized = {
            id(module.weight)
            for module in base.modules()
            if isinstance(module, nn.Linear) and module is not head
        }
    frozen = [p for p in base.parameters() if not p.requires_grad]
    return int(
        sum(p.numel() * (bits / 8 if id(p) in quantized else p.dtype.itemsize) for p in frozen)
    )


def _activations(config: Any, number: int, tokens: int, model_cfg: Mapping[str, Any]) -> int:
    layers, width = config.num_hidden_layers, config.hidden_size
    heads = config.num_attention_heads
    head_width = getattr(config, "head_dim", None) or width // heads
    keys = (getattr(config, "num_key_value_heads", None) or heads) * head_width
    mlp = getattr(config, "intermediate_size", None) or 4 * width
    layer = _EAGER * (8 * width + 2 * keys + 4 * mlp) * number * tokens
    policy = model_cfg.get("gradient_checkpointing")
    if not policy:
        return int(layer * layers)
    again = -(-layers // (1 if policy == "auto" else int(policy)))  # the first of every k
    kept = 0 if model_cfg.get("activation_offload") else width * number * tokens * again
    return int(layer * (layers - again) + kept + layer)
