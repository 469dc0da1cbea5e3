"""The sheet's `quantization` dict to bitsandbytes' settings."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from xtune.errors import ConfigError, UsageError, did_you_mean

if TYPE_CHECKING:  # `xtune eval` reads --bits before it needs torch
    import torch
    from torch import nn
    from transformers import BitsAndBytesConfig, PreTrainedModel

    from xtune.models.precision import Precision

__all__ = [
    "Quantization",
    "is_repacked",
    "keep_differentiable",
    "keep_narrow_layers",
    "pack_shapes",
    "quantization_config",
    "quantization_of_bits",
]

_REPACKED = 32  # output features that bitsandbytes takes together when it repacks 4-bit weights


class Quantization(TypedDict, total=False):
    """What a sheet's `quantization` may say; `bits` alone is enough.

    Attributes:
        bits: of each weight; 4 where it is left out.
        quant_type: of 4 bits, 'nf4' where it is left out.
        double_quant: of 4 bits: their scales are quantized too.
        compute_dtype: a dtype's name, or 'auto' for the run's own.
    """

    bits: Literal[4, 8]
    quant_type: Literal["nf4", "fp4"]
    double_quant: bool
    compute_dtype: str


def keep_differentiable(llm: nn.Module) -> None:
    """Keep 4-bit weights in the form that has a gradient.

    On processors with AVX512-BF16 bitsandbytes (0.50) repacks a weight the first time it is used
    in evaluation mode, and the product with the repacked form passes no gradient on: training
    after an evaluation would go on with wrong gradients, and say nothing.
    """
    module: Any
    for module in llm.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def keep_narrow_layers(llm: nn.Module) -> None:
    """Keep 4-bit weights that bitsandbytes cannot repack in the form that they are loaded in.

    It repacks on processors with AVX512-BF16, see above, and fails in the first pass where a
    layer's rows are no whole blocks; the form that they are loaded in has any shape.

    Args:
        llm: loaded.
    """
    module: Any
    for module in llm.modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        if state is not None and (state.shape[0] % _REPACKED or state.shape[1] % state.blocksize):
            module.support_avx512bf16_for_cpu = False


def is_repacked(llm: nn.Module) -> bool:
    """Tell whether bitsandbytes has repacked 4-bit weights, see above: then they are other bytes.

    Args:
        llm: that may have made a pass.
    """
    states = (getattr(getattr(one, "weight", None), "quant_state", None) for one in llm.modules())
    return any(getattr(state, "packing_format_for_cpu", False) for state in states)


def pack_shapes(llm: PreTrainedModel, config: BitsAndBytesConfig) -> None:
    """Put the layers of 4-bit weights into a model on 'meta', as loading would; no weight is made.

    Args:
        llm: changed in place.
        config: 8-bit layers stay as they are.
    """
    if not config.load_in_4bit:
        return
    from transformers.integrations.bitsandbytes import replace_with_bnb_linear
    from transformers.quantizers.base import get_keys_to_not_convert

    replace_with_bnb_linear(llm, get_keys_to_not_convert(llm), quantization_config=config)
    llm.is_loaded_in_4bit = True  # type: ignore[assignment] # PEFT asks


def quantization_of_bits(bits: int | None) -> dict[str, Any] | None:
    """Return the quantization that `--bits` stands for: NF4, or 8 bits.

    Args:
        bits: 4, 8, or None for weights as they are.

    Raises:
        UsageError: it is another number.
    """
    if bits not in (None, 4, 8):
        raise UsageError(f"bits is {bits!r}; allowed: 4, 8, or None for weights as they are")
    return None if bits is None else {"bits": bits}


def quantization_config(settings: Mapping[str, Any], precision: Precision) -> BitsAndBytesConfig:
    """Check a `quantization` dict and turn it into a BitsAndBytesConfig.

    Args:
        settings: `bits` (4 or 8); for 4 also `quant_type` ('nf4' or 'fp4'), `double_quant`, and
            `compute_dtype` ('auto' or a dtype's name).
        precision: what 'auto' means.

    Raises:
        ConfigError: an unknown key, or a value that is not allowed.
    """
    allowed = list(inspect.signature(_checked).parameters)[1:]
    for key in settings:
        if key not in allowed:
            raise ConfigError(
                f"unknown key {key!r} in quantization{did_you_mean(key, allowed)} "
                f"Allowed: {', '.join(allowed)}"
            )
    return _checked(precision, **settings)


def _checked(
    precision: Precision,
    bits: int = 4,
    quant_type: str = "nf4",
    double_quant: bool = True,
    compute_dtype: str = "auto",
) -> BitsAndBytesConfig:
    from transformers import BitsAndBytesConfig

    from xtune.models.precision import parse_dtype

    if bits not in (4, 8):
        raise ConfigError(f"quantization bits={bits!r}; allowed are 4 and 8")
    if bits == 8:
        # In each call of each layer it says that the layer casts its input, as it always does
        logging.getLogger("bitsandbytes.autograd._functions").addFilter(_is_no_cast)
        return BitsAndBytesConfig(load_in_8bit=True)
    if quant_type not in ("nf4", "fp4"):
        raise ConfigError(f"quantization quant_type={quant_type!r}; allowed are 'nf4' and 'fp4'")
    dtype: torch.dtype = (
        precision.compute_dtype if compute_dtype == "auto" else parse_dtype(compute_dtype)
    )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=quant_type,
        bnb_4bit_use_double_quant=double_quant,
        bnb_4bit_compute_dtype=dtype,
    )


def _is_no_cast(record: logging.LogRecord) -> bool:
    """Whether bitsandbytes says something else than that 8-bit layers quantize from fp16."""
    return "will be cast from" not in str(record.msg)
