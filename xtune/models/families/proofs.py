"""What is proven of every family, offline, on a tiny random checkpoint as it is published.

tests/models/families/test_proofs.py has one test for each; a family that lacks one says so in
`Family.unproven`, and why.
"""

from __future__ import annotations

__all__ = ["PROOFS"]

# name -> what the test of that name shows
PROOFS = {
    "logits": "equal an independent float64 reference, read from the published files",
    "cached_generation": "token by token equals the whole row at once",
    "left_padded_rows": "answer as single ones",
    "packed": "documents give the loss and gradients of single ones",
    "full_step": "all weights train",
    "adapter_step": "LoRA and NF4 QLoRA train, on these layers and no others",
    "adapter_saved": "reloaded and merged: the same logits, in every layout",
    "original_layout": "is written back bit for bit",
    "transformers_layout": "loads in plain transformers",
    "damaged": "missing, extra, misshapen weights and a wrong vocabulary are named",
}
