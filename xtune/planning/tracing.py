"""What a model holds at once in a training step, found by running it on tensors without values.

Symbols: L layers of one kind, T tokens of a micro-batch.

The model takes its real forward and backward pass, on torch's fake tensors: they have shapes and
dtypes and no memory, so that every number below is the sum of what the model's own operations
allocate. Nothing is known here of norms, adapters, attention or experts, plain or fused: what a
module saves is what is counted. The lowest layer that is gone back through is run alone, and one of
each kind behind it. Layers of a kind are alike, so L of them follow; those below the lowest keep
nothing, and are not run. A model that is not trained keeps nothing either: one layer of it is run.

    forward pass     what one layer keeps for the backward pass, L times; and, while the loss is
                     computed, what that has at once
    backward pass    at its start, all that was kept, and what one layer needs to go back; at its
                     end, the gradients of all the other layers, and the same

Only sums are kept: nothing of the model is changed, and nothing is computed.
"""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, UntypedStorage, nn
from torch._subclasses.fake_tensor import (
    FakeTensor,
    FakeTensorMode,
    unset_fake_temporarily,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from xtune.errors import ModelError
from xtune.garbage import uncollected
from xtune.models.algorithms.backbone import Backbone
from xtune.models.algorithms.base import Algorithm
from xtune.models.generation import checkpoints_layers
from xtune.models.precision import Precision
from xtune.structures import Batch

__all__ = ["LiveBytes", "Pass", "trace_pass"]


@dataclass(frozen=True, slots=True)
class Pass:
    """Bytes besides weights, optimizer and gradients there already, at moments of a micro-batch.

    Attributes:
        layers: kept for the backward pass when the backbone is through.
        loss: the most that the loss has besides, while it is computed.
        kept: of that, what is left until the backward pass.
        layer: the most that the last layer's backward pass has besides `layers` and `kept`.
        end: the most of all from there to the end of the backward pass, gradients of other layers
            left out, if they were not there before.
        gradients: of those other layers.
    """

    layers: float
    loss: float
    kept: float
    layer: float
    end: float
    gradients: float


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the tensors that are made while it is active, each storage once.

    Attributes:
        now: bytes alive.
        peak: the most since `mark`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._sizes: dict[int, int] = {}
        self.now = self.peak = 0

    def mark(self) -> int:
        """Return the peak, and begin a new one."""
        peak, self.peak = self.peak, self.now
        return peak

    def ignore(self, tensor: Tensor) -> None:
        """Count a tensor that was there before as nothing, as long as it is there."""
        self._known(tensor.untyped_storage(), 0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = self._run(func, args, kwargs or {})
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._note(tensor)
        return out

    def _run(self, func: Any, args: Any, kwargs: Any) -> Any:
        return func(*args, **kwargs)

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._sizes:
            self._known(storage, storage.nbytes())

    def _known(self, storage: UntypedStorage, size: int) -> None:
        key = storage._cdata
        self._sizes[key] = size
        self.now += size
        self.peak = max(self.peak, self.now)
        # Once it is gone another one may have its address
        weakref.finalize(storage, self._drop, key)

    def _drop(self, key: int) -> None:
        self.now -= self._sizes.pop(key, 0)


class _FakeBytes(LiveBytes):
    """The same over fake tensors; what depends on the batch alone is really computed."""

    def _run(self, func: Any, args: Any, kwargs: Any) -> Any:
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        name = func.__name__
        if tensors and not any(isinstance(tensor, FakeTensor) for tensor in tensors):
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        if name == "index.Tensor" and len(args[1]) == 1 and args[1][0].dtype == torch.bool:
            with unset_fake_temporarily():
                chosen = int(args[1][0].sum())
            return args[0].new_empty((chosen, *args[0].shape[args[1][0].ndim :]))
        if name.startswith(("index_put", "_index_put")) and args[1][0].dtype == torch.bool:
            return args[0] if "_." in name or "put_" in name else args[0].clone()
        out = func(*args, **kwargs)
        if name.startswith("gemm_4bit"):  # the weight is unpacked within
            self.peak = max(self.peak, self.now + args[0].element_size() * math.prod(args[2]))
        return out


def trace_pass(
    model: Algorithm,
    precision: Precision,
    *,
    lengths: Sequence[int],
    trained: int,
    with_gradients: bool,
    device: str = "cpu",
) -> Pass:
    """Run an algorithm's forward and backward pass without values; see the module docstring.

    Args:
        model: on 'meta'.
        precision: of the run.
        lengths: tokens of each document; T in all. See `Algorithm.example`.
        trained: how many of them have a label.
        with_gradients: whether gradients of an earlier micro-batch are there, to be added to.
        device: 'cpu' or 'cuda', where the run will be; PEFT casts less on the latter.

    Raises:
        ModelError: what the model does depends on values.
    """
    stacks = [backbone.layers for backbone in model.backbones()]
    lowest = [_lowest_with_gradient(backbone) for backbone in model.backbones()]
    bottoms = [layers[place] for layers, place in zip(stacks, lowest, strict=True)]
    kinds: dict[Any, list[int]] = {}
    for number, backbone in enumerate(model.backbones()):
        if any(p.requires_grad for p in backbone.model.parameters()):
            for place in range(lowest[number] + 1, len(stacks[number])):
                kinds.setdefault((number, _kind(stacks[number][place])), []).append(place)

    def run(behind: Mapping[int, int]) -> _Moments:
        """Run the lowest layer of each model, and another one behind those of some."""
        with ExitStack() as shortened:
            for number, layers in enumerate(stacks):
                places = [lowest[number], *([behind[number]] if number in behind else [])]
                shortened.enter_context(_only(layers, places))
            batch = model.example(lengths, trained=trained)
            return _run(model, bottoms, precision, batch, with_gradients, device)

    try:
        first = run({})
        pairs = [(run({number: of[0]}), len(of)) for (number, _), of in kinds.items()]
    except Exception as error:  # a model's own code may trip over tensors without values anyhow
        kinds_of = " with ".join(dict.fromkeys(one.family for one in model.backbones()))
        raise ModelError(f"{kinds_of} cannot be run without values: {error}") from error
    layers_kept, gradients = first.backbone, 0.0
    for pair, count in pairs:
        layers_kept += count * (pair.backbone - first.backbone)
        gradients += count * (pair.end_gradients - first.end_gradients)
    if not pairs:
        pairs = [(first, 1)]
    # The kind that needs most; a layer that was run behind another one has gradients before it.
    return Pass(
        layers=layers_kept,
        loss=max(pair.loss - pair.backbone for pair, _ in pairs),
        kept=max(pair.kept - pair.backbone for pair, _ in pairs),
        layer=max(pair.layer - pair.kept for pair, _ in pairs),
        end=max(pair.end - pair.end_gradients for pair, _ in pairs) + first.end_gradients
        if kinds
        else first.end,
        gradients=gradients,
    )


@dataclass(slots=True)
class _Moments:
    """Bytes of one run: alive after the backbone, at most in the loss, after it, and so on."""

    backbone: int = 0
    loss: int = 0
    kept: int = 0
    layer: int = 0
    end: int = 0
    end_gradients: int = 0


def _run(
    model: Algorithm,
    bottoms: Sequence[nn.Module],
    precision: Precision,
    batch: Batch,
    with_gradients: bool,
    device: str,
) -> _Moments:
    fake: Any = FakeTensorMode(allow_non_fake_inputs=True)
    fake.stands_for = device  # fake tensors themselves are on the CPU; see `runs_on_cpu`
    live, at = _FakeBytes(), _Moments()
    with fake:
        draft, *bottoms = _copy_without_values(model, *bottoms)
    for parameter in draft.parameters():
        live.ignore(parameter)
        if with_gradients and parameter.requires_grad:
            with fake:
                parameter.grad = torch.empty_like(parameter)
            live.ignore(parameter.grad)
    for buffer in draft.buffers():
        live.ignore(buffer)

    def backbone_is_done(*_: Any) -> None:
        at.backbone = live.now

    def layer_is_done(_: Tensor) -> None:
        at.layer = max(at.layer, live.mark())

    def watch(module: nn.Module, inputs: Any, output: Any) -> None:
        hidden = output if isinstance(output, Tensor) else output[0]
        if hidden.requires_grad:
            hidden.register_hook(layer_is_done)

    for backbone in draft.backbones():
        backbone.body.register_forward_hook(backbone_is_done)
    for bottom in bottoms:
        bottom.register_forward_hook(watch)
    # Fake tensors are on the CPU; that a GPU would be under autocast is only asked for.
    with fake, live, _autocast_flag(device, precision.autocast), uncollected():
        with torch.autocast(
            "cpu",
            dtype=precision.compute_dtype,
            enabled=precision.autocast,
            cache_enabled=not checkpoints_layers(draft),
        ):
            loss = draft(batch, normalizer=1)["loss"]
        at.loss, at.kept = live.mark(), live.now
        loss.backward()
        at.end, at.end_gradients = live.mark(), live.now
    at.layer = max(at.layer, at.kept) if at.layer else at.end
    return at


@contextmanager
def _autocast_flag(device: str, enabled: bool) -> Iterator[None]:
    before = torch.is_autocast_enabled("cuda")
    torch.set_autocast_enabled("cuda", enabled and device == "cuda")
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", before)


def _copy_without_values(model: nn.Module, *also: nn.Module) -> tuple[Any, ...]:
    """Copy modules, with weights that have a device, 4-bit ones packed; to be called in fake mode.

    What is shared stays so.
    """
    made: dict[int, Any] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in made:
                made[id(parameter)] = _fake_weight(module, parameter)
        for buffer in module.buffers(recurse=False):
            made[id(buffer)] = torch.empty(buffer.shape, dtype=buffer.dtype)
    return copy.deepcopy((model, *also), made)


def _fake_weight(module: nn.Module, parameter: nn.Parameter) -> nn.Parameter:
    if not hasattr(parameter, "quant_type"):
        empty = torch.empty(parameter.shape, dtype=parameter.dtype)
        return nn.Parameter(empty, requires_grad=parameter.requires_grad)
    from bitsandbytes.functional import QuantState

    given: Any = parameter
    count, block = parameter.numel(), given.blocksize
    packed: Any = nn.Parameter(torch.empty(-(-count // 2), 1, dtype=torch.uint8), False)
    blocks = -(-count // block)
    nested = None
    if given.compress_statistics:
        nested = QuantState(
            absmax=torch.empty(-(-blocks // 256)),
            code=torch.empty(256),
            blocksize=256,
            dtype=torch.float32,
        )
    packed.quant_state = QuantState(
        absmax=torch.empty(blocks, dtype=torch.uint8 if nested else torch.float32),
        shape=parameter.shape,
        code=torch.empty(16),
        blocksize=block,
        quant_type=given.quant_type,
        dtype=module.compute_dtype,
        offset=torch.empty(()) if nested else None,
        state2=nested,
    )
    return packed


def _lowest_with_gradient(backbone: Backbone) -> int:
    """The first layer that is gone back through: those below it keep nothing for that."""
    if any(p.requires_grad for p in backbone.base.get_input_embeddings().parameters()):
        return 0
    trained = (any(p.requires_grad for p in layer.parameters()) for layer in backbone.layers)
    return next((place for place, is_trained in enumerate(trained) if is_trained), 0)


def _kind(layer: nn.Module) -> Any:
    """Two layers of one kind have the same weights, and the same attributes that say a kind."""
    shapes = [(name, p.shape, p.requires_grad) for name, p in layer.named_parameters()]
    attributes = ("attention_type", "gradient_checkpointing")
    return (repr(shapes), *(getattr(layer, name, None) for name in attributes))


@contextmanager
def _only(layers: nn.ModuleList, places: Sequence[int]) -> Iterator[None]:
    """Leave only some layers in the list, for the `with` block."""
    all_of_them = layers._modules
    layers._modules = {str(i): all_of_them[str(place)] for i, place in enumerate(places)}
    try:
        yield
    finally:
        layers._modules = all_of_them
