"""A language model with random weights, made on the device: nothing is read, and no copy is held.

Two traps are avoided. A module that is built on 'meta' and then given memory keeps garbage in its
buffers, of which a rotary embedding's frequencies are the ones that no training would notice; they
are built anew. And a model in NF4 is packed matrix by matrix, so that a card of 8 GiB never holds
7 billion weights in bf16.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from xtune.models import choose_precision, load_model
from xtune.models.quantization import quantization_config

TINY = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 384,
    "head_dim": 16,
}


def architecture(name: str, *, tiny: bool, dtype: str) -> Any:
    """The architecture of a published model on 'meta', from the config that comes with xtune."""
    llm = load_model(name, dtype=dtype, device="meta")
    if not tiny:
        return llm
    config = llm.config
    groups = config.num_attention_heads // config.num_key_value_heads
    config.update(TINY | {"num_key_value_heads": max(1, 4 // groups)})
    config.pad_token_id = None  # it is beyond the tiny vocabulary
    with torch.device("meta"):
        return type(llm)._from_config(config, dtype=llm.dtype)


@torch.no_grad()
def random_llm(
    name: str, *, device: str, dtype: str, nf4: bool = False, tiny: bool = False
) -> nn.Module:
    """Fill `architecture(name)`: the same weights for every contender on a device.

    Args:
        name: whose config comes with xtune: 'meta-llama/Llama-3.1-8B'.
        device: 'cuda' or 'cpu'.
        dtype: 'bf16' or 'fp32', of what is not packed.
        nf4: pack the linear layers, as `load_model` has them packed.
        tiny: a few thousand weights in the same layout.
    """
    llm = architecture(name, tiny=tiny, dtype=dtype)
    if nf4:
        _with_packed_layers(llm, device)
    generator = torch.Generator(device).manual_seed(0)
    tied = llm.get_output_embeddings().weight is llm.get_input_embeddings().weight
    for path, module in list(llm.named_modules()):
        if getattr(module, "inv_freq", None) is not None:
            with torch.device(device):
                llm.set_submodule(path, type(module)(llm.config))
            continue
        for key, parameter in list(module.named_parameters(recurse=False)):
            value = torch.empty(parameter.shape, dtype=llm.dtype, device=device)
            if value.ndim < 2:
                value.fill_(0.0 if key == "bias" else 1.0)
            else:
                value.normal_(0.0, 0.02 if not tiny else 0.1, generator=generator)
            setattr(module, key, _parameter(module, key, parameter, value))
    if tied:
        llm.tie_weights()
    left = [key for key, value in llm.state_dict().items() if value.is_meta]
    assert not left, f"these have no values yet: {left[:3]}"
    return llm.eval()


def _parameter(module: nn.Module, key: str, old: nn.Parameter, value: torch.Tensor) -> Any:
    if key == "weight" and hasattr(old, "quant_type"):
        from bitsandbytes.nn import Params4bit

        settings = {"quant_type": old.quant_type, "compress_statistics": old.compress_statistics}
        packed = Params4bit(
            value, requires_grad=False, quant_storage=old.quant_storage, module=module, **settings
        )
        return packed.to(value.device)  # packs
    return nn.Parameter(value, requires_grad=old.requires_grad)


def _with_packed_layers(llm: Any, device: str) -> None:
    """Let transformers put bitsandbytes' layers in, as it does before it reads weights."""
    from transformers.quantizers import AutoHfQuantizer

    settings = quantization_config({"bits": 4}, choose_precision(device, "bf16"))
    quantizer = AutoHfQuantizer.from_config(settings, pre_quantized=False)
    quantizer.preprocess_model(model=llm, device_map=None)
    quantizer.postprocess_model(llm)
    llm.hf_quantizer = quantizer
    llm.config.quantization_config = settings
