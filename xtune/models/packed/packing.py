"""What a published config.json says of packed weights: which layers, which tensors, which order.

    GPTQ        qweight int32 [I b/32, O]   qzeros int32 [G, O b/32]   scales [G, O]   g_idx [I]
    AWQ         qweight int32 [I, O/8]      qzeros int32 [G, O/8]      scales [G, O]
    compressed  weight_packed int32 [O, I b/32]    weight_scale [O, G]    weight_shape [2]
    -tensors    weight_zero_point int32 [O b/32, G] where not symmetric, weight_g_idx [I]

GPTQ's zeros are stored minus one, but in the second version of its format; AWQ's words have the
outputs in the order 0 2 4 6 1 3 5 7. Act-order gives each input a group of its own choice (g_idx).

Shapes: I inputs, O outputs, G groups of inputs, b bits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xtune.errors import ModelError
from xtune.models.packed.codes import AWQ_ORDER, unpack, weights

__all__ = ["Packing", "packing_of", "published_packing"]

_METHODS = ("gptq", "awq", "compressed-tensors")
_BITS = {"gptq": (2, 3, 4, 8), "awq": (4,), "compressed-tensors": (4, 8)}
Shapes = dict[str, tuple[tuple[int, ...], torch.dtype]]


@dataclass(frozen=True, slots=True)
class Packing:
    """How the linear layers of a checkpoint are packed.

    Attributes:
        method: 'gptq', 'awq' or 'compressed-tensors'.
        bits: of a code.
        group: inputs that share a scale; None: all of an output.
        less_one: zeros are stored minus one.
        symmetric: compressed-tensors alone: no zeros are stored, they are 2^(bits - 1).
        ordered: inputs choose their group (act-order).
        kept: names of modules that are not packed; a pattern where it begins with 're:'.
        named: ends of names of those that are; empty: all linear ones in the layers.
    """

    method: str
    bits: int
    group: int | None
    less_one: bool = False
    symmetric: bool = True
    ordered: bool = False
    kept: tuple[str, ...] = ()
    named: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """For people: 'GPTQ, 4 bits'."""
        return f"{self.method if '-' in self.method else self.method.upper()}, {self.bits} bits"

    @property
    def key(self) -> str:
        """The name of the packed weight in a layer."""
        return "weight_packed" if self.method == "compressed-tensors" else "qweight"

    def packs(self, name: str) -> bool:
        """Tell whether a linear layer within the decoder is packed, by its name in the model."""
        if self.named:
            return any(name.endswith(f".{one}") for one in self.named)
        return not any(_is(name, one) for one in self.kept)

    def shapes(self, inputs: int, outputs: int) -> Shapes:
        """Return the tensors of a layer: name -> shape and dtype.

        Args:
            inputs: of the layer.
            outputs: of it.
        """
        groups = inputs // (self.group or inputs)
        number, half = torch.int32, torch.float16
        share = 32 // self.bits if 32 % self.bits == 0 else 32 / self.bits
        if self.method == "awq":
            return {
                "qweight": ((inputs, outputs // 8), number),
                "qzeros": ((groups, outputs // 8), number),
                "scales": ((groups, outputs), half),
            }
        if self.method == "gptq":
            return {
                "qweight": ((int(inputs / share), outputs), number),
                "qzeros": ((groups, int(outputs / share)), number),
                "scales": ((groups, outputs), half),
                **({"g_idx": ((inputs,), number)} if self.ordered else {}),
            }
        made: Shapes = {
            "weight_packed": ((outputs, int(inputs / share)), number),
            "weight_scale": ((outputs, groups), half),
        }
        if not self.symmetric:
            made["weight_zero_point"] = ((int(outputs / share), groups), number)
        if self.ordered:
            made["weight_g_idx"] = ((inputs,), number)
        return made

    def dense(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the weight that a layer's tensors stand for, fp32 [O, I].

        Args:
            tensors: as `shapes` names them.
        """
        if self.method == "compressed-tensors":
            codes = unpack(tensors["weight_packed"], self.bits, 1).t()
            zeros: Tensor | int = 2 ** (self.bits - 1)
            if not self.symmetric:
                zeros = unpack(tensors["weight_zero_point"], self.bits, 0).t()
            order = tensors.get("weight_g_idx")
            return weights(codes, zeros, tensors["weight_scale"].t(), order).t()
        zeros = unpack(tensors["qzeros"], self.bits, 1)
        if self.method == "awq":
            codes = _in_order(unpack(tensors["qweight"], 4, 1))
            return weights(codes, _in_order(zeros), tensors["scales"], None).t()
        if self.less_one:  # a zero of 0 is stored as the largest code
            zeros = (zeros + 1).bitwise_and_(2**self.bits - 1)
        codes = unpack(tensors["qweight"], self.bits, 0)
        return weights(codes, zeros, tensors["scales"], tensors.get("g_idx")).t()


def packing_of(config: Any) -> Packing | None:
    """Return how the weights of a checkpoint are packed; None if they are not, or otherwise.

    Args:
        config: as `load_config` gives it.

    Raises:
        ModelError: a setting of the format that is not read here.
    """
    published = getattr(config, "quantization_config", None)
    if published is None:
        published = (getattr(config, "original_config", None) or {}).get("quantization_config")
    if not isinstance(published, Mapping):
        return None
    return published_packing(published)


def published_packing(fields: Mapping[str, Any]) -> Packing | None:
    """Return what a published `quantization_config` says; None if it is of another method.

    Args:
        fields: of it.

    Raises:
        ModelError: a setting of the format that is not read here.
    """
    method = str(fields.get("quant_method", ""))
    if method not in _METHODS:
        return None
    if method == "compressed-tensors":
        if fields.get("format") != "pack-quantized":
            return None
        return _compressed(fields)
    bits = int(fields.get("bits", fields.get("w_bit", 4)))
    group = int(fields.get("group_size", fields.get("q_group_size", 128)))
    version = str(fields.get("checkpoint_format") or fields.get("version") or "").lower()
    _require(method, "bits", bits, _BITS[method])
    if method == "awq":
        _require(method, "version", version or "gemm", ("gemm",))
        kept = tuple(fields.get("modules_to_not_convert") or ())
        return Packing("awq", bits, _group(group), kept=kept)
    _require(method, "checkpoint_format", version or "gptq", ("gptq", "gptq_v2"))
    _require(method, "pack_dtype", fields.get("pack_dtype") or "int32", ("int32",))
    if changed := [one for one in fields.get("dynamic") or () if not one.startswith("-")]:
        raise ModelError(
            f"its config.json packs some layers of {method} otherwise than the rest "
            f"(dynamic: {', '.join(changed[:3])}), which is not read here: take a checkpoint "
            "with one setting for all"
        )
    blocks = fields.get("modules_in_block_to_quantize") or ()
    return Packing(
        "gptq",
        bits,
        _group(group),
        less_one=version != "gptq_v2",
        ordered=bool(fields.get("desc_act")),
        named=tuple(n for one in blocks for n in ([one] if isinstance(one, str) else one)),
    )


def _compressed(fields: Mapping[str, Any]) -> Packing:
    method = "compressed-tensors"
    groups = list((fields.get("config_groups") or {}).values())
    _require(method, "config_groups", len(groups), (1,))
    one = groups[0]
    given: Mapping[str, Any] = one.get("weights") or {}
    _require(method, "input_activations", one.get("input_activations"), (None,))
    _require(method, "type", given.get("type", "int"), ("int",))
    _require(method, "num_bits", given.get("num_bits"), _BITS[method])
    _require(method, "strategy", given.get("strategy"), ("group", "channel"))
    return Packing(
        method,
        int(given["num_bits"]),
        _group(given.get("group_size") if given["strategy"] == "group" else None),
        symmetric=bool(given.get("symmetric", True)),
        ordered=given.get("actorder") == "group",
        kept=tuple(fields.get("ignore") or ()),
    )


def _require(method: str, field: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if value not in allowed:
        raise ModelError(
            f"its config.json says {method} with {field} {value!r}, which is not read here; "
            f"read: {', '.join(map(str, allowed))}. Take another of the model's checkpoints, or "
            "the unpacked one with quantization=dict(bits=4)"
        )


def _group(size: Any) -> int | None:
    return None if size in (None, -1) else int(size)


def _is(name: str, entry: str) -> bool:
    if entry.startswith("re:"):
        return re.match(entry[3:], name) is not None
    return name == entry or name.endswith(f".{entry}") or f"{entry}." in f"{name}."


def _in_order(codes: Tensor) -> Tensor:
    """AWQ's codes [N, O] in the order of the outputs."""
    places = torch.tensor(AWQ_ORDER, device=codes.device).argsort()
    return codes.unflatten(1, (-1, 8)).index_select(2, places).flatten(1, 2)
