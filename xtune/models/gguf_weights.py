"""A GGUF file's model in plain fp32, bit for bit as transformers unpacks it, in far less time.

transformers wraps each text of the vocabulary twice, and works its table of names out anew for each
module of the model, 397 times for SmolLM2. Here both are done once, by transformers' own tables: of
a config's fields, of names, and of changes in layout (rotary rows, norms).
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

__all__ = ["UNPACKED_HERE", "is_unpacked_here", "unpacked_model"]

#: `general.architecture` of the files that are read here; of each, a test compares the config and
#: every tensor with what transformers makes of it. All others are left to transformers.
UNPACKED_HERE = ("llama", "qwen2", "qwen3", "gemma2")

_HEAD = "output.weight"


def is_unpacked_here(metadata: Mapping[str, Any]) -> bool:
    """Whether `unpacked_model` takes a file with this metadata."""
    # transformers takes a file of this very name for a Mistral's
    return (
        metadata.get("general.architecture") in UNPACKED_HERE
        and metadata.get("general.name") != "mistral"
    )


def unpacked_model(file: Path, metadata: Mapping[str, Any]) -> PreTrainedModel:
    """Return the model in a GGUF file, its weights in fp32.

    Args:
        file: the GGUF file.
        metadata: its own, of a kind that `is_unpacked_here`.

    Raises:
        ModelError: a weight of the model is not in the file.
        ValueError, RuntimeError, NotImplementedError: what transformers or gguf say of an
            architecture, a shape or a kind of packing that they do not know.
    """
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM
    from transformers.modeling_gguf_pytorch_utils import (
        TENSOR_PROCESSORS,
        TensorProcessor,
        get_gguf_hf_weights_map,
    )

    tensors = read_gguf_tensors(file)
    architecture = metadata["general.architecture"]
    fields = _config_fields(metadata, has_head=any(one.name == _HEAD for one in tensors))
    config = CONFIG_MAPPING[fields["model_type"]].from_dict(fields)
    with torch.device("meta"):
        llm: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    layout = TENSOR_PROCESSORS.get(architecture, TensorProcessor)(config=fields)
    names = get_gguf_hf_weights_map(_Names(llm), layout)
    weights = {}
    for tensor in tensors:
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


def _config_fields(metadata: Mapping[str, Any], *, has_head: bool) -> dict[str, Any]:
    """The config.json that the metadata stand for; without a head of its own a model is tied."""
    from transformers.integrations import GGUF_CONFIG_MAPPING

    fields: dict[str, Any] = {"tie_word_embeddings": not has_head}
    for key, value in metadata.items():
        section, _, name = key.partition(".")
        names: Any = GGUF_CONFIG_MAPPING.get(section, {})
        if names.get(name) is not None:
            fields[names[name]] = value
    fields.setdefault("vocab_size", len(metadata["tokenizer.ggml.tokens"]))
    return fields


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
