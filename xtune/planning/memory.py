"""What a training run will need in memory, by component, before any weight is loaded.

Symbols: P parameters, V vocabulary, D width, b bytes of a number in the compute format.

    frozen weights   P b; a linear layer in NF4 4.127 bits a weight with double quantization, one
                     of GPTQ or AWQ as its tensors are
    trained weights  4 P: fp32
    gradients        4 P trained
    optimizer        its state; Adam's two moments are 8 P trained
    activations      what the layers keep for the backward pass
    loss             what it has at once: a chunk's logits and their gradient, the head in the
                     compute format if it is stored in another, its gradient if it is trained
    one layer        what it has at once in its backward pass, its recomputation too
    runtime          libraries, kernels, the allocator's reserve

The first four are arithmetic, the next three what the model's own operations allocate; see
`xtune.planning.tracing`. They are not all there at once: a step has moments, and the fullest
counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from xtune.errors import ModelError
from xtune.models.algorithms.base import Algorithm
from xtune.models.cards import fits, largest_card, smallest_card
from xtune.models.generation import base_of
from xtune.models.head import score_head
from xtune.models.packed.linear import dense_sizes
from xtune.models.precision import Precision
from xtune.models.vocabulary import Pieces
from xtune.planning.drafts import Drafts
from xtune.planning.tracing import Pass

__all__ = [
    "MemoryEstimate",
    "cache_bytes",
    "estimate_memory",
    "fits",
    "largest_card",
    "memory_of",
    "smallest_card",
]

_GIB = 2**30
_RUNTIME = 0.6 * _GIB
_NF4_BITS = {True: 4.127, False: 4.5}  # with and without double quantization
_ADAM = 8  # bytes of state a parameter


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes by component, at each moment of a step.

    Attributes:
        moments: moment -> component -> bytes; components as in the module docstring.
        trainable: parameters that are trained.
        parameters: all parameters, shared ones once.
        note: what is not counted, and why; empty if all is.
        offloaded: bytes of activations that wait in the host's memory.
    """

    moments: dict[str, dict[str, int]]
    trainable: int
    parameters: int
    note: str = ""
    offloaded: int = 0

    @property
    def fullest(self) -> str:
        """The moment at which most is held."""
        return max(self.moments, key=lambda moment: sum(self.moments[moment].values()))

    @property
    def components(self) -> dict[str, int]:
        """Component -> bytes at the fullest moment."""
        return self.moments[self.fullest]

    @property
    def total(self) -> int:
        """Bytes in all, at the fullest moment."""
        return sum(self.components.values())


def cache_bytes(llm: Any, tokens: int, number: int = 2) -> int:
    """Return what the keys and values of one sequence take in generation.

    Args:
        llm: the language model, with weights or on 'meta'.
        tokens: of the sequence.
        number: bytes of a number; 2 in 16 bits.
    """
    config = base_of(llm).config.get_text_config()
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    keys = (getattr(config, "num_key_value_heads", None) or heads) * width
    return 2 * config.num_hidden_layers * keys * tokens * number


def estimate_memory(
    model_cfg: Mapping[str, Any],
    precision: Precision,
    lengths: int | Sequence[int],
    trained_share: float = 1.0,
    pieces: Pieces | None = None,
    *,
    optimizer_bytes: int | None = None,
    accumulates: bool = True,
    device: str = "cpu",
) -> MemoryEstimate:
    """Estimate the peak memory of training, to about a tenth.

    Args:
        model_cfg: the sheet's `model` dict.
        precision: of the run.
        lengths: tokens of each document of a micro-batch.
        trained_share: share of the tokens that have a label, 0 to 1.
        pieces: the tokens that the run adds.
        optimizer_bytes: of its state; default Adam's.
        accumulates: whether a step has several micro-batches, so that gradients of the one are
            there while the next runs.
        device: 'cpu' or 'cuda', where the run will be.

    Raises:
        ModelError: the checkpoint's architecture is not known here.
    """
    drafts = Drafts()
    model = drafts.model(model_cfg, precision=precision, pieces=pieces)
    return memory_of(
        model,
        model_cfg,
        precision,
        lengths,
        trained_share,
        optimizer_bytes=optimizer_bytes,
        accumulates=accumulates,
        device=device,
        drafts=drafts,
    )


def memory_of(
    model: Algorithm,
    model_cfg: Mapping[str, Any],
    precision: Precision,
    lengths: int | Sequence[int],
    trained_share: float = 1.0,
    *,
    optimizer_bytes: int | None = None,
    accumulates: bool = True,
    device: str = "cpu",
    drafts: Drafts,
) -> MemoryEstimate:
    """Estimate as `estimate_memory` does, for a model that `drafts` has built of `model_cfg`.

    Args: as `estimate_memory`, which makes the drafts itself.
    """
    lengths = [lengths] if isinstance(lengths, int) else lengths
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    published = {id(tensor): size for tensor, size in dense_sizes(model)}
    note = ""
    try:
        parts = drafts.trace(
            model,
            model_cfg,
            precision,
            lengths=lengths,
            trained=max(1, round(sum(lengths) * trained_share)),
            with_gradients=accumulates,
            device=device,
        )
    except ModelError as error:  # better than nothing: a run must not fail for this
        parts, note = Pass(0, 0, 0, 0, 0, 0), f"activations and loss are not counted: {error}"
    offloaded = 0
    if model_cfg.get("activation_offload") and device == "cuda":
        offloaded = _offloaded(model, sum(lengths))
        parts = replace(parts, layers=parts.layers - offloaded)
    state = {
        "frozen weights": _frozen_bytes(model, model_cfg),
        "trained weights": 4 * trainable,
        "gradients": 4 * trainable,
        "optimizer": _ADAM * trainable if optimizer_bytes is None else optimizer_bytes,
    }
    return MemoryEstimate(
        moments={
            moment: {**state, **held, "runtime": int(_RUNTIME)}
            for moment, held in _moments(parts, 4 * trainable, accumulates)
        },
        trainable=trainable,
        parameters=sum(published.get(id(p), p.numel()) for p in model.parameters()),
        note=note,
        offloaded=offloaded,
    )


def _moments(
    parts: Pass, gradients: int, accumulates: bool
) -> Iterator[tuple[str, dict[str, int]]]:
    """What is held besides weights and optimizer, in a step's last micro-batch."""
    before = gradients if accumulates else 0
    yield from (
        (
            "while the loss is computed",
            _held(before, activations=parts.layers, loss=parts.loss),
        ),
        (
            "at the start of the backward pass",
            _held(before, activations=parts.layers, loss=parts.kept, layer=parts.layer),
        ),
        (
            "at the end of the backward pass",
            _held(before if accumulates else parts.gradients, layer=parts.end),
        ),
        ("in the optimizer's step", _held(gradients)),
    )


def _held(
    gradients: float, *, activations: float = 0, loss: float = 0, layer: float = 0
) -> dict[str, int]:
    held = {
        "gradients": gradients,
        "activations": activations,
        "loss": loss,
        "one layer": layer,
    }
    return {name: round(size) for name, size in held.items()}


def _offloaded(model: Algorithm, tokens: int) -> int:
    """Bytes that wait in the host's memory: the inputs of the layers that are computed again."""
    total = 0
    for backbone in model.backbones():
        embedding: Any = backbone.base.get_input_embeddings().weight
        again = sum(
            getattr(module, "gradient_checkpointing", False)
            for module in backbone.model.modules()
            if not isinstance(module, PreTrainedModel)  # which says it of all its layers
        )
        total += again * tokens * embedding.shape[1] * embedding.itemsize
    return total


def _frozen_bytes(model: Algorithm, model_cfg: Mapping[str, Any]) -> int:
    packed: dict[int, float] = {}  # bytes of a weight
    for name, part in model.parts().items():
        settings = model_cfg.get(name)
        quantization = settings.get("quantization") if isinstance(settings, Mapping) else None
        if quantization:
            bits = _NF4_BITS[quantization.get("double_quant", True)]
            bits = 8 if quantization.get("bits", 4) == 8 else bits
            base = base_of(part.module)
            head: Any = base.get_output_embeddings() or score_head(base)
            head = getattr(head, "original_module", head)
            for module in base.modules():
                if isinstance(module, nn.Linear) and module is not head:
                    packed[id(module.weight)] = bits / 8
    frozen = [p for p in model.parameters() if not p.requires_grad]
    return int(sum(p.numel() * packed.get(id(p), p.dtype.itemsize) for p in frozen))
