"""Liger's Triton kernels for norm and SwiGLU, put into one model: never a global patch.

    RMSNorm    its module by LigerRMSNorm, around the same weight
    SwiGLU     the MLP's module by LigerSwiGLUMLP, around the same three linear layers, which may be
               quantized or carry an adapter

Neither is chosen by a name: a module is replaced if Liger's gives the same result on the same
random numbers; what is not, keeps its own. Liger's rotary embedding is a function that its users
put into transformers' module, for all models of a process, and its fused loss does what our
chunked one does; both are left out. There is no Triton of our own: what attention's kernels, these
two and the chunked loss leave has not been measured on a GPU yet.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

__all__ = ["fuse_with_liger", "why_no_liger"]

logger = logging.getLogger(__name__)

_TOLERATED = {torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 3e-2}


def why_no_liger(device: torch.device) -> str | None:
    """Say why Liger's kernels cannot be used on a device; None if they can."""
    if device.type != "cuda":
        return f"its kernels are for GPUs, and this is {device.type}"
    try:
        import liger_kernel.transformers  # noqa: F401
    except Exception as error:  # of Triton, of any kind
        return f"liger-kernel cannot be imported ({error}): pip install '.[liger]'"
    return None


def fuse_with_liger(base: PreTrainedModel) -> list[str]:
    """Replace what Liger computes faster; the log says what, and why not.

    Args:
        base: a transformers model on its device, with or without an adapter.

    Returns:
        The names of the modules that were replaced.
    """
    if reason := why_no_liger(base.device):
        logger.info("Liger's kernels are not used: %s", reason)
        return []
    return swap_modules(base)


def swap_modules(base: PreTrainedModel) -> list[str]:
    """Replace modules of `base` by Liger's where these compute the same."""
    replaced: list[str] = []
    counts: Counter[str] = Counter()
    verdicts: dict[tuple[type, int], int] = {}  # (class, width) -> the candidate that is the same
    for name, module in list(base.named_modules()):
        candidates = list(_candidates(module))
        if not candidates:
            continue
        width = _width(module)
        key = (type(module), width)
        if key not in verdicts:
            verdicts[key] = _first_that_is_the_same(module, candidates, width)
        place = verdicts[key]
        kind = type(module).__name__
        if place < 0:
            counts[f"{kind} kept"] += 1
            continue
        candidates[place].training = module.training  # its layers have theirs
        base.set_submodule(name, candidates[place])
        replaced.append(name)
        counts[f"{kind} -> {type(candidates[place]).__name__}"] += 1
    for what, count in counts.items():
        say = logger.warning if what.endswith("kept") else logger.info
        say("Liger: %d times %s", count, what)
    return replaced


def _candidates(module: nn.Module) -> Iterator[nn.Module]:
    """Liger's modules that may compute the same, around this module's own weights."""
    from liger_kernel.transformers import LigerRMSNorm, LigerSwiGLUMLP

    own: Any = module
    if isinstance(module, nn.LayerNorm) or hasattr(module, "original_module"):
        return  # the second is PEFT's wrapper around one, which is met by itself
    weight = getattr(own, "weight", None)
    epsilon = getattr(own, "variance_epsilon", getattr(own, "eps", None))
    if isinstance(weight, nn.Parameter) and weight.ndim == 1 and isinstance(epsilon, float):
        for casting, offset in (("llama", 0.0), ("gemma", 1.0)):
            with torch.device("meta"):
                norm = LigerRMSNorm(
                    weight.numel(), eps=epsilon, offset=offset, casting_mode=casting, in_place=False
                )
            norm.weight = weight
            yield norm
    elif all(hasattr(own, part) for part in ("gate_proj", "up_proj", "down_proj", "config")):
        if getattr(own.config, "hidden_act", None) not in ("silu", "swish"):
            return
        with torch.device("meta"):
            mlp = LigerSwiGLUMLP(own.config)
        for part in ("gate_proj", "up_proj", "down_proj"):
            setattr(mlp, part, getattr(own, part))
        yield mlp


def _width(module: Any) -> int:
    """How wide the hidden states are that the module takes."""
    weight = getattr(module, "weight", None)
    return weight.numel() if isinstance(weight, Tensor) else module.gate_proj.in_features


@torch.no_grad()
def _first_that_is_the_same(module: nn.Module, candidates: list[nn.Module], width: int) -> int:
    """The place of the candidate with the module's own result, or -1."""
    parameter = next(module.parameters())
    dtype = parameter.dtype if parameter.dtype in _TOLERATED else torch.bfloat16
    generator = torch.Generator(parameter.device).manual_seed(0)
    hidden = torch.randn(1, 4, width, device=parameter.device, dtype=dtype, generator=generator)
    training = module.training
    expected = module.eval()(hidden)  # an adapter's dropout is off, in their common layers
    found = -1
    for place, candidate in enumerate(candidates):
        try:
            difference = (candidate.eval()(hidden) - expected).norm() / expected.norm()
        except Exception as error:  # of Triton's compiler, of any kind
            logger.warning("%s does not run here: %s", type(candidate).__name__, error)
            continue
        if difference <= _TOLERATED[dtype]:
            found = place
            break
    module.train(training)
    return found
