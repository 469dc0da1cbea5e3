"""How transformers puts packed layers into a model that it loads, and takes them out again.

It would hand GPTQ and AWQ to GPTQModel, whose requirements exclude ours; so they are loaded under
a method of our own, by its seam for further ones (`register_quantizer`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.quantizers import HfQuantizer, register_quantization_config, register_quantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from xtune.errors import ModelError
from xtune.models.packed.linear import PackedLinear
from xtune.models.packed.packing import Packing, Shapes, packing_of, published_packing

__all__ = ["METHOD", "is_packed", "pack_linears", "read_packed", "unpack_linears"]

METHOD = "xtune_packed"
_DTYPES = {
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "I32": torch.int32,
    "I64": torch.int64,
}


def read_packed(config: PretrainedConfig) -> Packing | None:
    """Tell transformers to load packed layers by this file; return how they are packed.

    Args:
        config: of the checkpoint; changed if its layers are packed in a way that is read here.
    """
    packing = packing_of(config)
    if packing is not None:
        published = dict(config.quantization_config)
        config.quantization_config = {"quant_method": METHOD, "published": published}
    return packing


def is_packed(llm: Any) -> bool:
    """Tell whether a model's layers are packed as they were published.

    Args:
        llm: a transformers model, without PEFT's around it.
    """
    return getattr(llm, "quantization_method", None) == METHOD


def pack_linears(
    llm: PreTrainedModel,
    packing: Packing,
    dtype: torch.dtype,
    stored: Mapping[str, tuple[tuple[int, ...], torch.dtype]] | None = None,
) -> None:
    """Put packed layers in the place of linear ones, without values.

    Args:
        llm: on 'meta'; changed.
        packing: of the checkpoint.
        dtype: that the model computes in.
        stored: name -> shape and dtype of the checkpoint's tensors; None: as `packing` says.

    Raises:
        ModelError: a packed layer that is no linear one of the model.
    """
    head = llm.get_output_embeddings()
    linears = {n: m for n, m in llm.named_modules() if isinstance(m, nn.Linear)}
    if stored is None:
        chosen = {n for n, m in linears.items() if m is not head and packing.packs(n)}
    else:
        end = f".{packing.key}"
        chosen = {name.removesuffix(end) for name in stored if name.endswith(end)}
        if odd := sorted(name for name in chosen if linears.get(name, head) is head):
            raise ModelError(
                f"{odd[0]} is packed ({packing.title}), and only linear layers below the head are "
                "read packed: joined experts and a packed head are not. Take the unpacked "
                "checkpoint with quantization=dict(bits=4)"
            )
        if not chosen:
            raise ModelError(
                f"its config.json says {packing.title}, and no file of it has a {packing.key}: "
                "only safetensors files are read"
            )
    for name in chosen:
        old = linears[name]
        shapes, bias = None, old.bias is not None
        if stored is not None:
            shapes = _stored_shapes(stored, name)
            bias = f"{name}.bias" in stored
        with torch.device("meta"):
            new = PackedLinear(
                packing, old.in_features, old.out_features, bias=bias, dtype=dtype, shapes=shapes
            )
        new.lacks_bias = old.bias is None
        llm.set_submodule(name, new)
    llm.quantization_method = METHOD  # type: ignore[assignment] # adapters and strategies ask


def unpack_linears(llm: Any) -> None:
    """Put plain linear layers in the place of packed ones, their weights as the codes say.

    Args:
        llm: a transformers model, which may have an adapter on its layers; changed. One that is
            not packed stays as it is.
    """
    if is_packed(llm):
        llm.dequantize()


def _stored_shapes(stored: Mapping[str, Any], layer: str) -> Shapes:
    found = {}
    for name, what in stored.items():
        if name.rpartition(".")[0] == layer and not name.endswith(".bias"):
            found[name.rpartition(".")[2]] = what
    return found


@register_quantization_config(METHOD)
class PackedConfig(QuantizationConfigMixin):
    """What transformers keeps of it.

    Args:
        published: the checkpoint's own `quantization_config`.
        quant_method: METHOD.
    """

    def __init__(self, published: dict[str, Any], quant_method: str = METHOD) -> None:
        self.published = published
        self.quant_method = quant_method  # type: ignore[assignment] # one of our own


@register_quantizer(METHOD)
class PackedQuantizer(HfQuantizer):
    """Reads them; for the arguments see transformers."""

    quantization_config: PackedConfig

    def _process_model_before_weight_loading(
        self,
        model: PreTrainedModel,
        *,
        checkpoint_files: Sequence[str] | None = None,
        **given: Any,
    ) -> None:
        packing = published_packing(self.quantization_config.published)
        assert packing is not None
        pack_linears(model, packing, model.dtype, _headers(checkpoint_files or ()))

    def _process_model_after_weight_loading(self, model: PreTrainedModel, **given: Any) -> None:
        for name, module in model.named_modules():
            if not isinstance(module, PackedLinear):
                continue
            module.settle()
            if module.bias is not None and module.lacks_bias:
                # AutoGPTQ gives every layer a bias, of zeros where the model has none
                if module.bias.any():
                    raise ModelError(
                        f"{name} has a bias, and a {model.config.model_type!r} model has no place "
                        "for it"
                    )
                module.register_parameter("bias", None)

    def _dequantize(
        self, model: PreTrainedModel, dtype: torch.dtype | None = None
    ) -> PreTrainedModel:
        for parent in list(model.modules()):
            for name, layer in list(parent.named_children()):
                if not isinstance(layer, PackedLinear):
                    continue
                weight = layer.weight.contiguous()
                plain = nn.Linear(1, 1, bias=False)
                plain.in_features, plain.out_features = layer.in_features, layer.out_features
                plain.weight = nn.Parameter(weight, requires_grad=False)
                plain.bias = layer.bias
                setattr(parent, name, plain.train(layer.training))
        return model

    def is_serializable(self) -> bool:
        """It is written unpacked, or not at all."""
        return False

    @property
    def is_trainable(self) -> bool:
        """By an adapter."""
        return True


def _headers(files: Sequence[str]) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    found = {}
    for file in files:
        if not str(file).endswith(".safetensors"):
            continue
        with safe_open(file, "pt") as opened:
            for name in opened.keys():  # noqa: SIM118 # no mapping
                part = opened.get_slice(name)
                if part.get_dtype() in _DTYPES:
                    found[name] = (tuple(part.get_shape()), _DTYPES[part.get_dtype()])
    return found
