"""A GGUF file of a model with its adapter merged in; it gets its name when it has been proven.

    OUT.gguf             metadata, vocabulary, tensors
    OUT.gguf.parity.md   how near each program that was run came to `xtune chat`
    OUT.gguf.Modelfile   for `ollama create`, where the chat template can be written in Go

The file is written to another name, read there, and renamed last.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from xtune.checkpoint.disk import full_disk_error, is_full_disk
from xtune.errors import ModelError, TemplateError, UsageError
from xtune.export.gguf.architectures import Layout, why_not
from xtune.export.gguf.go_template import modelfile
from xtune.export.gguf.packing import QUANTS, Quant
from xtune.export.gguf.write import write_gguf
from xtune.export.merge import require_rows, require_writes_text
from xtune.export.prepared import Prepared, prepared
from xtune.export.proof.dialogues import Dialogue
from xtune.export.proof.llamacpp import LlamaCppReader, is_installed
from xtune.export.proof.prove import Outcome, prove, require_passed
from xtune.export.proof.readers import Reader, TransformersReader, loads_gguf
from xtune.export.proof.report import UNCHECKED, report_of
from xtune.export.provenance import said_of
from xtune.models import load_config
from xtune.models.gguf_metadata import read_gguf_metadata
from xtune.models.gguf_tokenizer import gguf_tokenizer
from xtune.models.gguf_weights import unpacked_model

__all__ = ["GgufExported", "export_gguf", "whole_file"]


@dataclass(frozen=True, slots=True)
class GgufExported:
    """What was written.

    Attributes:
        layout: architecture, tensors and notices.
        size: of the file, bytes.
        outcomes: of each program that read it.
        unchecked: the others, with the reason.
    """

    layout: Layout
    size: int
    outcomes: list[Outcome]
    unchecked: list[str]


def export_gguf(
    name: str,
    out: Path,
    *,
    adapter: Path | None,
    notes: Mapping[str, Any],
    quant: Quant,
    own: Sequence[Dialogue] = (),
    dtype: str = "auto",
) -> GgufExported:
    """Load a model, merge its adapter, write it, have it read, compare.

    Args:
        name: what `load_model` takes.
        out: a file that is not there yet.
        adapter: an adapter's folder, or None.
        notes: template, stop words and system prompt of the training.
        quant: how matrices are packed.
        own: dialogues of the run, which the proof asks.
        dtype: that is merged in; 'auto' is fp32, which loses nothing before the weights are packed.

    Raises:
        UsageError: an unknown quant.
        ModelError: llama.cpp does not compute this model; or a program that read the file answers
            otherwise than chat; nothing is left.
        CheckpointError: the disk is full; nothing is left.
    """
    if quant not in QUANTS:
        raise UsageError(f"--quant {quant!r}: there are {', '.join(QUANTS)}")
    require_writes_text(name, adapter)
    if reason := why_not(load_config(name)):
        raise ModelError(f"{name} cannot be written as GGUF: {reason}")
    ready = prepared(name, adapter, notes, own, dtype="fp32" if dtype == "auto" else dtype)
    require_rows(ready.llm, ready.tokenizer, name)
    report = out.with_name(f"{out.name}.parity.md")
    with whole_file(out) as part, whole_file(report) as report_part:
        layout = write_gguf(
            part,
            ready.llm,
            ready.tokenizer,
            quant=quant,
            end_ids=ready.reference.end_ids,
            said=said_of(name, adapter, notes, title=out.stem),
        )
        layout.tensors.clear()
        config = ready.llm.config
        ready.llm = None  # two of them may not fit
        outcomes, unchecked = _proved(part, config, layout, ready, quant)
        require_passed(outcomes, layout.notices)
        made = _modelfile(out, config, layout, ready)
        text = report_of(
            out.name,
            ready.reference,
            outcomes,
            compared_with=ready.compared_with,
            unchecked=unchecked,
            notices=layout.notices,
        )
        report_part.write_text(text, encoding="utf-8")
        if made is not None:
            out.with_name(f"{out.name}.Modelfile").write_text(made, encoding="utf-8")
    return GgufExported(layout, out.stat().st_size, outcomes, unchecked)


def _modelfile(out: Path, config: Any, layout: Layout, ready: Prepared) -> str | None:
    """Ollama's, or None and a notice of why Ollama could not answer as chat does."""
    reference = ready.reference
    tokens: Any = ready.tokenizer.convert_ids_to_tokens(reference.end_ids)
    try:
        return modelfile(
            ready.tokenizer,
            f"./{out.name}",
            stops=list(dict.fromkeys([*map(str, tokens), *reference.stop_words])),
            context=int(layout.fields["context_length"]),
        )
    except TemplateError as error:
        layout.notices.append(f"no Modelfile for Ollama: {error}")
        return None


@contextmanager
def whole_file(out: Path) -> Iterator[Path]:
    """Give the name of a file to write; it is renamed to `out` when that is done, or deleted.

    Args:
        out: its final name.

    Raises:
        CheckpointError: the disk is full.
    """
    part = out.with_name(f"{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, out)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if is_full_disk(error):
            raise full_disk_error(out.parent, 0) from error
        raise


def _proved(
    file: Path, config: Any, layout: Layout, ready: Prepared, quant: Quant
) -> tuple[list[Outcome], list[str]]:
    """Have each program that is here read the file."""
    outcomes, unchecked = [], [f"{name}: not run here" for name in UNCHECKED if name == "Ollama"]
    if reason := loads_gguf(layout.architecture, config):
        unchecked.insert(0, f"transformers: {reason}")
    else:
        outcomes.append(_outcome(_unpacked(file), ready, quant))
    if is_installed():
        texts = ready.reference.scored
        longest = max([len(t.ids) for t in texts] + [len(p) for p in ready.reference.prompts])
        reader = LlamaCppReader(file, longest=longest)
        outcomes.append(_outcome(reader, ready, quant))
        if reader.early:
            tokens: Any = ready.tokenizer.convert_ids_to_tokens(sorted(reader.early))
            layout.notices.append(
                f"llama.cpp ends an answer at {', '.join(tokens)} too, which it takes for an end "
                "by its text; xtune chat goes on"
            )
    else:
        unchecked.insert(0, "llama.cpp: not installed (pip install '.[llamacpp]')")
    return outcomes, unchecked


def _outcome(reader: Reader, ready: Prepared, quant: Quant) -> Outcome:
    return prove(ready.reference, reader, quant, ready.plain)


def _unpacked(file: Path) -> TransformersReader:
    """The file's weights as transformers unpacks them, and the texts as its own `pre` cuts them."""
    metadata = read_gguf_metadata(file)
    tokenizer = gguf_tokenizer(metadata, file.name)
    assert tokenizer is not None  # of the kinds that are written
    keys = [f"tokenizer.ggml.{name}_token_id" for name in ("eos", "eot", "eom")]
    ends = [metadata[key] for key in keys if key in metadata]
    unpacked = unpacked_model(file, metadata)
    llm: Any = AutoModelForCausalLM.from_config(unpacked.config, dtype=torch.float32)
    llm.load_state_dict(unpacked.state_dict(), assign=True)
    llm.tie_weights()
    return TransformersReader("transformers (unpacked)", llm, tokenizer, ends)
