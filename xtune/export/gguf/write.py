"""Write one GGUF file: what it is, its vocabulary, its tensors one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtune.data.templates import build_template
from xtune.errors import ModelError
from xtune.export.gguf.architectures import Layout, layout_of
from xtune.export.gguf.packing import Quant, file_type, packing_of
from xtune.export.gguf.vocabulary import Vocabulary, vocabulary_of

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

__all__ = ["add_setting", "packed", "write_gguf"]

_LARGEST_F16 = 65504.0


def write_gguf(
    file: Path,
    llm: Any,
    tokenizer: PreTrainedTokenizerBase,
    *,
    quant: Quant,
    end_ids: Sequence[int],
    said: Mapping[str, Any],
) -> Layout:
    """Write a model.

    Args:
        file: created.
        llm: a transformers model without an adapter.
        tokenizer: its chat template is the file's.
        quant: how matrices are packed.
        end_ids: of the tokens that end an answer.
        said: `general.*` and other keys with their values: name, licence, where it comes from.

    Returns:
        What was written.

    Raises:
        ModelError: llama.cpp cannot compute the model, or would read its texts otherwise.
    """
    import gguf

    layout = layout_of(llm)
    rows = llm.get_input_embeddings().weight.shape[0]
    words = vocabulary_of(tokenizer, rows, end_ids, _end_of_turn(tokenizer))
    writer = gguf.GGUFWriter(file, layout.architecture)
    try:
        writer.add_type("model")
        for key, value in said.items():
            add_setting(writer, key, value)
        writer.add_file_type(file_type(quant))
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        for name, value in layout.fields.items():
            add_setting(writer, f"{layout.architecture}.{name}", value)
        _add_vocabulary(writer, words)
        if template := tokenizer.chat_template:
            writer.add_chat_template(_templates(template))
        _add_tensors(writer, layout.tensors, quant)
    finally:
        writer.close()
    return layout


def packed(name: str, weight: Tensor, quant: Quant) -> Any:
    """Return a tensor's bytes, packed as the file has them.

    Args:
        name: in GGUF.
        weight: of any format.
        quant: of the file.

    Raises:
        ModelError: F16 cannot hold its numbers.
    """
    import gguf

    kind = packing_of(name, weight.shape, quant)
    numbers = weight.detach().float().contiguous().cpu()
    if kind == gguf.GGMLQuantizationType.F16 and float(numbers.abs().max()) > _LARGEST_F16:
        raise ModelError(
            f"{name} has numbers up to {float(numbers.abs().max()):.3g}, and F16 ends at 65,504: "
            "take --quant bf16"
        )
    return gguf.quantize(numbers.numpy(), kind)


def add_setting(writer: GGUFWriter, key: str, value: Any) -> None:
    """Add a value of a type that llama.cpp expects of its kind.

    Args:
        writer: of the file.
        key: whole.
        value: a bool, int, float, text, or a list of texts.
    """
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, list(value))


def _add_vocabulary(writer: GGUFWriter, words: Vocabulary) -> None:
    writer.add_tokenizer_model(words.model)
    writer.add_tokenizer_pre(words.pre)
    writer.add_token_list(words.tokens)
    writer.add_token_types(words.types)
    if words.merges:
        writer.add_token_merges(words.merges)
    if words.scores:
        writer.add_token_scores(words.scores)
    for name, value in words.fields.items():
        add_setting(writer, f"tokenizer.ggml.{name}", value)


def _add_tensors(writer: GGUFWriter, tensors: Mapping[str, Tensor], quant: Quant) -> None:
    """Write the table, then each tensor's numbers, so that only one is packed at a time."""
    import gguf
    import numpy as np

    for name, weight in tensors.items():
        kind = packing_of(name, weight.shape, quant)
        shape: Sequence[int] = weight.shape
        if kind in (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16):
            dtype, packing = np.dtype(kind.name.replace("F", "float")), None
        else:  # NumPy has no such numbers: they are bytes
            shape = gguf.quant_shape_to_byte_shape(weight.shape, kind)
            dtype, packing = np.dtype(np.uint8), kind
        writer.add_tensor_info(name, shape, dtype, math.prod(shape) * dtype.itemsize, packing)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, weight in tensors.items():
        writer.write_tensor_data(packed(name, weight, quant))


def _templates(template: str | Mapping[str, str]) -> Any:
    if isinstance(template, str):
        return template
    return [{"name": name, "template": text} for name, text in template.items()]


def _end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int | None:
    if not tokenizer.chat_template:
        return None
    for word in build_template("auto", tokenizer).stop_words:
        number: Any = tokenizer.convert_tokens_to_ids(word)
        if isinstance(number, int) and number != tokenizer.unk_token_id:
            return number
    return None
