"""A GGUF file's model in plain fp32, bit for bit as transformers unpacks it, in half the time.

transformers reads the file twice, texts of the vocabulary included, and works its table of names
out anew for each module of the model, 397 times for SmolLM2. Here both are done once; the config,
the names and the changes of layout (rotary rows, norms) are still transformers' own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from xtune.errors import ModelError
from xtune.models.gguf_metadata import StoredTensor, read_gguf_tensors

if TYPE_CHECKING:
    import numpy as np
    from torch import nn
    from transformers import PreTrainedModel

__all__ = ["UNPACKED_HERE", "unpacked_model"]

#: `general.architecture` of the files that are read here; of each, a test compares every tensor
#: with what transformers makes of it. All others are left to transformers.
UNPACKED_HERE = ("llama", "qwen2", "qwen3", "gemma2")


def unpacked_model(file: Path, architecture: str) -> PreTrainedModel:
    """Return the model in a GGUF file, its weights in fp32.

    Args:
        file: the GGUF file.
        architecture: one of UNPACKED_HERE, as its metadata says.

    Raises:
        ModelError: a weight of the model is not in the file.
        ValueError, RuntimeError, NotImplementedError: what transformers or gguf say of an
            architecture, a shape or a kind of packing that they do not know.
    """
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PretrainedConfig
    from transformers.modeling_gguf_pytorch_utils import (
        TENSOR_PROCESSORS,
        TensorProcessor,
        get_gguf_hf_weights_map,
    )

    fields, _ = PretrainedConfig.get_config_dict(str(file.parent), gguf_file=file.name)
    config = CONFIG_MAPPING[fields["model_type"]].from_dict(fields)
    with torch.device("meta"):
        llm: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    layout = TENSOR_PROCESSORS.get(architecture, TensorProcessor)(config=fields)
    names = get_gguf_hf_weights_map(_Names(llm), layout)
    weights = {}
    for tensor in read_gguf_tensors(file):
        if tensor.name not in names:  # a table of rotary factors, say
            continue
        laid_out = layout.process(_unpacked(file, tensor), tensor.name).weights
        weights[names[tensor.name]] = torch.tensor(laid_out, dtype=torch.float32)
    llm.load_state_dict(weights, strict=False, assign=True)
    llm.tie_weights()
    if lacking := [name for name, weight in llm.state_dict().items() if weight.is_meta]:
        raise ModelError(
            f"{file} has no weights for {len(lacking)} parameters of its model "
            f"({fields['model_type']}), the first of them {lacking[0]}. Take another conversion of "
            "the model, or its original checkpoint"
        )
    return llm


def _unpacked(file: Path, tensor: StoredTensor) -> np.ndarray:
    """The numbers of one tensor, float32 in its own shape; only its part of the file is read."""
    import numpy as np
    from gguf import GGMLQuantizationType, dequantize, quant_shape_to_byte_shape

    kind = GGMLQuantizationType(tensor.kind)
    shape = quant_shape_to_byte_shape(tensor.shape, kind)
    packed = np.memmap(file, dtype=np.uint8, mode="r", offset=tensor.start, shape=tuple(shape))
    return dequantize(packed, kind)


class _Names:
    """The names of a model's weights and of its direct parts', as transformers asks for them.

    It would ask every module, down to the last; only a direct part ever has a name that the
    whole has not, such as Bloom's.
    """

    def __init__(self, module: nn.Module, *, direct: bool = True) -> None:
        self.config = getattr(module, "config", None)
        self._module, self._direct = module, direct

    def state_dict(self) -> Mapping[str, Any]:
        return self._module.state_dict()

    def named_children(self) -> Iterator[tuple[str, _Names]]:
        if self._direct:
            for name, part in self._module.named_children():
                yield name, _Names(part, direct=False)
