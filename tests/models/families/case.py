"""`Case`: what a family must bring to be proven: a checkpoint as published, and a reference.

A file of `cases/` defines CASES, a tuple of these; `test_proofs.py` finds them all.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

__all__ = ["Case", "all_cases"]


@dataclass(frozen=True)
class Case:
    """One checkpoint layout of one family.

    Attributes:
        name: of the case, in test ids: 'internlm', 'baichuan2-13b'.
        family: name in FAMILIES.
        write: write a tiny random checkpoint, tokenizer files too, into a folder.
        reference: (config.json, weights in float64, ids [T]) to logits [T, V] in float64.
        vocab: ids are drawn from 3 … vocab - 1.
        leaf: the shipped config that trains this family, e.g. 'internlm_7b_qlora_alpaca'.
        linears: what a LoRA on all linear layers lands on: the last parts of the names.
        expects: attributes that the translated config must have.
        packs: 'row' where documents go through the model as one row; 'document' where the
            family only takes them one by one.
        longest: tokens of the longest document of the tests; longer than a window or than what
            dynamic scaling begins at, where there is one.
        tolerance: of logits, relative to the largest.
    """

    name: str
    family: str
    write: Callable[[Path], Path]
    reference: Callable[[dict, dict[str, Tensor], Tensor], Tensor]
    vocab: int
    leaf: str
    linears: tuple[str, ...]
    expects: dict[str, Any] = field(default_factory=dict)
    packs: str = "row"
    longest: int = 30
    tolerance: float = 2e-4


def all_cases() -> list[Case]:
    """Every case of every file in `cases/`, sorted by name."""
    import tests.models.families.cases as package

    modules = [
        importlib.import_module(f"{package.__name__}.{found.name}")
        for found in pkgutil.iter_modules(package.__path__)
    ]
    return sorted((case for module in modules for case in module.CASES), key=lambda c: c.name)
