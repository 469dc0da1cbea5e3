"""Tiny checkpoints of the families that the scorer is tried on, written once a run of the suite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.once import once
from tests.tiny import write_tiny_model

__all__ = ["FAMILIES", "folder_of", "reference_of"]

# model_type -> further fields, and the ways that it allows, the best one first
FAMILIES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "llama": ({"tied": False}, ("tree", "cache", "single")),
    "qwen2": ({}, ("tree", "cache", "single")),
    "qwen3": ({}, ("tree", "cache", "single")),
    "mistral": ({"sliding_window": 8}, ("tree", "cache", "single")),
    "gemma2": (
        {
            "sliding_window": 8,
            "query_pre_attn_scalar": 8,
            "attn_logit_softcapping": 5.0,
            "final_logit_softcapping": 3.0,
        },
        ("tree", "cache", "single"),
    ),
    "cohere": ({"logit_scale": 0.5}, ("tree", "cache", "single")),
    "phi": ({"tied": False}, ("tree", "cache", "single")),  # its head has a bias
    "mixtral": ({"num_local_experts": 4}, ("tree", "cache", "single")),
    "bloom": ({"n_layer": 2, "n_head": 4}, ("cache", "single")),  # ALiBi by place in the row
    "gpt_oss": ({"num_local_experts": 4, "sliding_window": 8}, ("cache", "single")),  # sinks
    "mamba": ({"state_size": 8}, ("single",)),
}
_EXPERTS = ("mixtral", "gpt_oss")


def folder_of(shared_folder: Path, family: str) -> Path:
    """The checkpoint of a family of FAMILIES."""

    def write(folder: Path) -> None:
        write_tiny_model(folder, family, **FAMILIES[family][0])

    return once(shared_folder / f"scored_{family}", write)


def reference_of(folder: Path, family: str) -> Any:
    """The same weights in float64, in transformers' own class."""
    import torch
    from transformers import AutoModelForCausalLM

    # grouped products of experts have no float64
    own = {"experts_implementation": "eager"} if family in _EXPERTS else {}
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, **own).eval()
