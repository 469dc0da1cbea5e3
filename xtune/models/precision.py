"""Which number formats a device computes in fastest: asked of the device, never assumed.

bf16 is 7 times faster than fp32 on a CPU with AMX and up to 100 times slower on one without, so a
CPU is probed with a small matrix product. fp16 is never used on a CPU.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch

from xtune.errors import ConfigError, did_you_mean

__all__ = ["DTYPES", "Precision", "PrecisionName", "choose_precision", "parse_dtype"]

PrecisionName: TypeAlias = Literal["auto", "fp32", "bf16", "fp16", "float32", "bfloat16", "float16"]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_ROUNDS = 5  # the first call chooses and loads the kernel
_HOPELESS = 4  # bf16 that is so many times slower after two rounds is not asked again
_GAIN = 1.3  # bf16 has to be this many times faster than fp32 to be worth its rounding


@dataclass(frozen=True, slots=True)
class Precision:
    """The number formats of a run.

    Attributes:
        compute_dtype: of matrix products.
        weight_dtype: of frozen weights; trained ones are fp32 masters.
        autocast: whether the forward pass runs under torch.autocast(dtype=compute_dtype).
        loss_scaling: whether gradients would underflow without a loss scale (fp16).
        reason: why, for the log.
    """

    compute_dtype: torch.dtype
    weight_dtype: torch.dtype
    autocast: bool
    loss_scaling: bool
    reason: str

    @property
    def name(self) -> str:
        """The compute format's name, as configs have it: 'fp32', 'bf16' or 'fp16'."""
        return next(name for name, dtype in DTYPES.items() if dtype == self.compute_dtype)


def choose_precision(device: torch.device | str = "cpu", wanted: str = "auto") -> Precision:
    """Choose the formats for training and inference on `device`.

    Args:
        device: cpu, cuda, cuda:1, …
        wanted: 'auto', 'fp32', 'bf16' or 'fp16'.

    Raises:
        ConfigError: an unknown name, or a format that `device` cannot train in.
    """
    kind = torch.device(device).type
    if wanted != "auto":
        dtype = parse_dtype(wanted)
        if dtype == torch.float16 and kind == "cpu":
            raise ConfigError(
                "precision 'fp16' does not train on a CPU; use 'auto', 'bf16' or 'fp32'"
            )
        return _precision(dtype, "asked for")
    if kind == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return _precision(torch.bfloat16, "this GPU computes in bf16")
        return _precision(torch.float16, "this GPU has no bf16; fp16 with loss scaling")
    if kind == "cpu":
        return _probe_cpu(torch.get_num_threads())
    return _precision(torch.float32, f"bf16 is not probed on {kind!r} devices")


def parse_dtype(name: str) -> torch.dtype:
    """Turn 'fp32', 'bf16' or 'fp16' (or torch's own names for them) into a dtype.

    Raises:
        ConfigError: any other name.
    """
    for short, dtype in DTYPES.items():
        if name in (short, str(dtype).removeprefix("torch.")):
            return dtype
    raise ConfigError(
        f"unknown dtype {name!r}{did_you_mean(name, DTYPES)} "
        f"Allowed: 'auto', {', '.join(map(repr, DTYPES))}"
    )


def _precision(dtype: torch.dtype, reason: str) -> Precision:
    return Precision(
        compute_dtype=dtype,
        weight_dtype=dtype,
        autocast=dtype != torch.float32,
        loss_scaling=dtype == torch.float16,
        reason=reason,
    )


@functools.cache  # once a process: a run asks four times, and computes in one format
def _probe_cpu(threads: int) -> Precision:
    """Time products of both formats on so many threads."""
    able = torch.cpu.get_capabilities()
    if not (able.get("amx_bf16") or able.get("avx512_bf16")):
        return _precision(torch.float32, "this CPU has neither AMX nor AVX512-bf16")
    gain = _gain_of_bf16()
    if gain >= _GAIN:
        return _precision(torch.bfloat16, f"bf16 products are {gain:.1f} times faster here")
    return _precision(torch.float32, f"bf16 products are only {gain:.1f} times as fast here")


def _gain_of_bf16() -> float:
    """How many times faster bf16 is.

    Where torch may not use what the processor has, it is a hundred times slower, and five rounds
    would take two seconds: two are enough to see it.
    """
    best = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    for before in range(_ROUNDS):  # by turns: what else the machine does hits both
        best = {dtype: min(least, _seconds_of_product(dtype)) for dtype, least in best.items()}
        if before and best[torch.bfloat16] > _HOPELESS * best[torch.float32]:
            break
    return best[torch.float32] / best[torch.bfloat16]


def _seconds_of_product(dtype: torch.dtype) -> float:
    """One product the size of a small model's MLP: 0.9 GFLOP."""
    left = torch.ones(512, 576, dtype=dtype)
    right = torch.ones(576, 1536, dtype=dtype)
    start = time.perf_counter()
    left @ right
    return time.perf_counter() - start
