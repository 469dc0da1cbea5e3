"""The speed of dense bf16 matrix products that each GPU is sold with, in TFLOP/s.

Sums are in fp32, as PyTorch's are, and without sparsity, which doubles the number that is often
printed. From the makers' data sheets: NVIDIA A100, H100, H200, H20, A10, A30, A40, L4, L40, L40S,
V100, T4, B200, RTX A5000, RTX A6000, RTX 6000 Ada, AMD MI300X; and for GeForce from NVIDIA's
architecture papers (GA102 v2, Ada v2, RTX Blackwell v1), row "peak BF16 tensor TFLOPS with FP32
accumulate": twice the card's fp32 rate. V100 and T4 have no bf16; theirs is fp16.
"""

from __future__ import annotations

import re

__all__ = ["peak_tflops"]

# The first pattern that torch.cuda.get_device_name() contains counts.
_PEAKS: tuple[tuple[str, float], ...] = (
    # Parts of a card, and cards under the same name that are slower by an amount nobody publishes
    (r"MIG|Laptop|Max-Q|4090 D|5090 D|Quadro", 0.0),
    (r"B200", 2250.0),
    (r"H200 NVL", 835.5),
    (r"H200|H800|GH200", 989.4),
    (r"H100 NVL", 835.5),
    (r"H100 PCIe", 756.5),
    (r"H100", 989.4),
    (r"H20", 148.0),
    (r"A100|A800", 312.0),
    (r"A40", 149.7),
    (r"A30", 165.0),
    (r"A10", 125.0),
    (r"L40S", 362.1),
    (r"L40", 181.1),
    (r"L4", 121.0),
    (r"V100S", 130.0),
    (r"V100-SXM\d", 125.0),
    (r"V100-PCIE", 112.0),
    (r"T4", 65.0),
    (r"RTX 6000 Ada", 364.2),
    (r"RTX A6000", 154.8),
    (r"RTX A5000", 111.1),
    (r"RTX 5090", 209.5),
    (r"RTX 5080", 112.6),
    (r"RTX 4090", 165.2),
    (r"RTX 4080", 97.5),
    (r"RTX 4070", 58.3),
    (r"RTX 3090 Ti", 80.0),
    (r"RTX 3090", 71.0),
    (r"RTX 3080", 59.5),
    (r"RTX 3070", 40.6),
    (r"MI300X", 1307.4),
)


def peak_tflops(device_name: str) -> float | None:
    """Return the TFLOP/s of the GPU of this name, or None if they are not known here.

    >>> peak_tflops("NVIDIA A100-SXM4-80GB"), peak_tflops("NVIDIA H100 80GB HBM3")
    (312.0, 989.4)
    >>> peak_tflops("NVIDIA GeForce RTX 4090 Laptop GPU")

    Args:
        device_name: of torch.cuda.get_device_name().
    """
    for pattern, peak in _PEAKS:
        if re.search(rf"\b(?:{pattern})(?!\w| Ti| SUPER)", device_name):
            return peak or None
    return None
