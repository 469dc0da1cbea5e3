"""How the architectures of llama.cpp want weights laid out that transformers has otherwise.

    rotary rows   llama.cpp turns neighbours (0,1), (2,3); transformers the two halves of a head.
                  So the rows of q and k are interleaved, head by head
    experts       transformers 5 keeps gate and up of all experts in one tensor [E, 2F, D]
    q, k, v       fused head by head in Bloom and Falcon, and one after the other here
    norms         Gemma's are stored minus one

Left out, a file still loads, and its answers read like language. Only a comparison shows it.

Shapes: E experts, F width of an MLP, D width, H heads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "Pair",
    "absorbed_keys",
    "fused_by_head",
    "gpt_oss_experts",
    "grouped_by_head",
    "interleaved",
    "named",
    "norms_plus_one",
    "rotary_interleaved",
    "split_experts",
]

Pair = tuple[str, Tensor]

_EXPERTS = re.compile(r"(.*\.experts)\.(gate_up_proj|down_proj)$")


def interleaved(weight: Tensor, heads: int) -> Tensor:
    """Put the two halves of each head's rows between each other.

    >>> interleaved(torch.arange(8), 2).tolist()
    [0, 2, 1, 3, 4, 6, 5, 7]

    Args:
        weight: [H * head, ...].
        heads: H.
    """
    half = weight.shape[0] // heads // 2
    return weight.reshape(heads, 2, half, *weight.shape[1:]).transpose(1, 2).reshape(weight.shape)


def rotary_interleaved(pairs: Iterator[Pair], config: Any) -> Iterator[Pair]:
    """Interleave q and k, biases too.

    Args:
        pairs: name and weight.
        config: its numbers of heads.
    """
    heads = config.num_attention_heads
    key_heads = config.num_key_value_heads or heads
    for name, weight in pairs:
        if ".q_proj." in name:
            weight = interleaved(weight, heads)
        elif ".k_proj." in name:
            weight = interleaved(weight, key_heads)
        yield name, weight


def split_experts(pairs: Iterator[Pair]) -> Iterator[Pair]:
    """Part gate from up, of all experts of a layer.

    Args:
        pairs: name and weight.
    """
    for name, weight in pairs:
        found = _EXPERTS.match(name)
        if found is None:
            yield name, weight
        elif found[2] == "down_proj":
            yield f"{found[1]}.down_proj.weight", weight
        else:
            gate, up = weight.chunk(2, dim=1)
            yield f"{found[1]}.gate_proj.weight", gate
            yield f"{found[1]}.up_proj.weight", up


def gpt_oss_experts(pairs: Iterator[Pair]) -> Iterator[Pair]:
    """gpt-oss multiplies from the right, and gate and up take turns in its columns.

    Args:
        pairs: name and weight; `gate_up_proj` [E, D, 2F], `down_proj` [E, F, D].
    """
    for name, weight in pairs:
        if name.endswith("experts.gate_up_proj"):
            stem = name.removesuffix("gate_up_proj")
            yield f"{stem}gate_proj.weight", weight[..., ::2].transpose(1, 2)
            yield f"{stem}up_proj.weight", weight[..., 1::2].transpose(1, 2)
        elif name.endswith("experts.gate_up_proj_bias"):
            stem = name.removesuffix("gate_up_proj_bias")
            yield f"{stem}gate_proj.bias", weight[..., ::2]
            yield f"{stem}up_proj.bias", weight[..., 1::2]
        elif name.endswith("experts.down_proj"):
            yield f"{name}.weight", weight.transpose(1, 2)
        elif name.endswith("experts.down_proj_bias"):
            yield f"{name.removesuffix('_bias')}.bias", weight
        elif name.endswith(".sinks"):
            yield f"{name}.weight", weight
        else:
            yield name, weight


def norms_plus_one(pairs: Iterator[Pair]) -> Iterator[Pair]:
    """Gemma's norms multiply by one plus their weight; llama.cpp's by the weight.

    Args:
        pairs: name and weight.
    """
    for name, weight in pairs:
        yield name, weight.float() + 1 if name.endswith("norm.weight") else weight


def fused_by_head(pairs: Iterator[Pair], heads: int) -> Iterator[Pair]:
    """Bloom's [H, (q, k, v), head] becomes [(q, k, v), H, head].

    Args:
        pairs: name and weight.
        heads: H.
    """
    for name, weight in pairs:
        if ".query_key_value." in name:
            parted = weight.reshape(heads, 3, -1, *weight.shape[1:])
            weight = parted.transpose(0, 1).reshape(weight.shape)
        yield name, weight


def grouped_by_head(pairs: Iterator[Pair], heads: int, key_heads: int) -> Iterator[Pair]:
    """Falcon's groups of queries with their key and value become all q, all k, all v.

    Args:
        pairs: name and weight.
        heads: query heads.
        key_heads: key heads, one a group.
    """
    for name, weight in pairs:
        if ".query_key_value." in name:
            groups = weight.reshape(key_heads, heads // key_heads + 2, -1, weight.shape[-1])
            parts = (groups[:, :-2], groups[:, -2], groups[:, -1])
            weight = torch.cat([part.reshape(-1, weight.shape[-1]) for part in parts])
        yield name, weight


def absorbed_keys(pairs: Iterator[Pair], config: Any) -> Iterator[Pair]:
    """DeepSeek-V2's kv_b is parted into k, turned over, and v: llama.cpp absorbs it into q.

    Args:
        pairs: name and weight.
        config: of DeepSeek-V2.
    """
    heads, nope = config.num_attention_heads, config.qk_nope_head_dim
    for name, weight in pairs:
        if ".kv_b_proj." not in name:
            yield name, weight
            continue
        k, v = weight.reshape(heads, -1, weight.shape[-1]).split([nope, config.v_head_dim], dim=1)
        yield name.replace("kv_b_proj", "k_b_proj"), k.transpose(1, 2)
        yield name.replace("kv_b_proj", "v_b_proj"), v


def named(weights: Mapping[str, Tensor], *, tied: bool) -> Iterator[Pair]:
    """Yield the weights, without a head that is the embedding's.

    Args:
        weights: of a model.
        tied: whether head and embedding are one.
    """
    for name, weight in weights.items():
        if not (tied and name == "lm_head.weight"):
            yield name, weight
