"""Which tensor of a file is packed how.

    f32 f16 bf16   matrices; norms and biases are F32 in every file
    q8_0           blocks of 32 numbers with one scale
    q5_0 q4_0      the same in 5 and 4 bits; embedding and head in Q8_0: tied, they are the head

A matrix whose rows are no multiple of 32 stays in F16. What routes between experts stays in F32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    import gguf

__all__ = ["QUANTS", "Quant", "file_type", "packing_of"]

Quant: TypeAlias = Literal["f32", "f16", "bf16", "q8_0", "q5_0", "q4_0"]
QUANTS: tuple[Quant, ...] = get_args(Quant)

_ENDS = ("token_embd.weight", "output.weight")
_LOW = ("q5_0", "q4_0")
_WHOLE = ("norm", "ffn_gate_inp", "rope_f", "attn_sinks")  # of these the name has a part
_FILE_TYPES = {
    "f32": "ALL_F32",
    "f16": "MOSTLY_F16",
    "bf16": "MOSTLY_BF16",
    "q8_0": "MOSTLY_Q8_0",
    "q5_0": "MOSTLY_Q5_0",
    "q4_0": "MOSTLY_Q4_0",
}


def packing_of(name: str, shape: Sequence[int], quant: Quant) -> gguf.GGMLQuantizationType:
    """Return how a tensor is packed.

    Args:
        name: in GGUF.
        shape: in torch's order, the rows' width last.
        quant: of the file.
    """
    import gguf

    types = gguf.GGMLQuantizationType
    if len(shape) < 2 or name.endswith(".bias") or any(part in name for part in _WHOLE):
        return types.F32
    chosen = types["Q8_0" if quant in _LOW and name in _ENDS else quant.upper()]
    block, _ = gguf.GGML_QUANT_SIZES[chosen]
    return chosen if shape[-1] % block == 0 else types.F16


def file_type(quant: Quant) -> int:
    """Return `general.file_type`.

    Args:
        quant: of the file.
    """
    import gguf

    return int(gguf.LlamaFileType[_FILE_TYPES[quant]])
