"""Attention over documents that lie end to end in one row.

varlen.py        the function registered with transformers: chooses, checks, refuses
side_by_side.py  a CPU in bf16: documents of similar length in one call
by_document.py   SDPA, one document after the other: a CPU in fp32, and everything else
by_heads.py      rows that several processes share
alike.py         answers in bf16 on a CPU: each row alone and next to others gets the same bits
tree.py          a row that is a tree of texts, for evaluation
gpu_kernels.py   flash-attn's and torch's kernels for rows of documents, and flex attention
"""

from __future__ import annotations

from xtune.models.attention.by_heads import length_that_rotation_depends_on, why_not_slices
from xtune.models.attention.varlen import (
    NAME,
    caps_scores,
    has_capping_kernels,
    kernel_for,
    varlen_arguments,
    why_not_one_row,
)

__all__ = [
    "NAME",
    "caps_scores",
    "has_capping_kernels",
    "kernel_for",
    "length_that_rotation_depends_on",
    "varlen_arguments",
    "why_not_one_row",
    "why_not_slices",
]
