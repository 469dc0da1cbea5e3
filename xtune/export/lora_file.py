"""An adapter alone as a GGUF file, proven on its base in llama.cpp where that is installed.

OUT.gguf                the adapter: `llama-server -m BASE.gguf --lora OUT.gguf`
OUT.gguf.jinja          the chat template trained with: `--chat-template-file OUT.gguf.jinja`
OUT.gguf.parity.md      how near it came to `xtune chat`
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xtune.errors import ModelError
from xtune.export.gguf.lora import write_lora
from xtune.export.gguf.write import write_gguf
from xtune.export.gguf_file import whole_file
from xtune.export.prepared import asked, opened
from xtune.export.proof.dialogues import Dialogue
from xtune.export.proof.llamacpp import LlamaCppReader, is_installed
from xtune.export.proof.prove import Outcome, prove, require_passed
from xtune.export.proof.report import report_of
from xtune.export.provenance import said_of
from xtune.models import load_model
from xtune.models.packed.quantizer import unpack_linears

__all__ = ["LoraExported", "export_lora"]


@dataclass(frozen=True, slots=True)
class LoraExported:
    """What was written.

    Attributes:
        layers: adapted.
        outcomes: of each program that read it.
        unchecked: the others, with the reason.
    """

    layers: int
    outcomes: list[Outcome]
    unchecked: list[str]


def export_lora(
    name: str,
    out: Path,
    *,
    adapter: Path,
    notes: Mapping[str, Any],
    own: Sequence[Dialogue] = (),
) -> LoraExported:
    """Write it, and have llama.cpp read it on a base in F16 that is deleted again.

    Args:
        name: the base.
        out: a file that is not there yet.
        adapter: its folder.
        notes: template, stop words and system prompt of the training.
        own: dialogues of the run, which the proof asks.

    Raises:
        ModelError: the format has no place for a part of the adapter; or llama.cpp answers
            otherwise than chat; nothing is left.
    """
    said = said_of(name, adapter, notes, title=out.stem)
    unchecked = ["Ollama: not run here"]
    outcomes: list[Outcome] = []
    with (
        whole_file(out) as part,
        tempfile.TemporaryDirectory(prefix=f"{out.name}.part.", dir=out.parent) as place,
    ):
        base: Any = load_model(name, device="meta")
        layers = write_lora(part, base, adapter, said=said)
        session = opened(name, adapter, notes)
        reference, plain = asked(session, own, session.loaded("fp32"))
        if is_installed():
            whole: Any = load_model(name, dtype="fp32")
            unpack_linears(whole)
            if whole.get_input_embeddings().weight.shape[0] < len(session.tokenizer):
                raise ModelError(
                    "the run has given the vocabulary new rows, and LoRA alone does not hold them: "
                    "write the merged model (--format gguf)"
                )
            file = Path(place) / "base.gguf"
            write_gguf(
                file,
                whole,
                session.written,
                quant="f16",
                end_ids=reference.end_ids,
                said={"general.name": "base"},
            )
            del whole
            longest = max(map(len, [*reference.prompts, *(t.ids for t in reference.scored)]))
            reader = LlamaCppReader(file, longest=longest, adapter=part)
            outcomes.append(prove(reference, reader, "f16", plain))
            require_passed(outcomes)
        else:
            unchecked.insert(0, "llama.cpp: not installed (pip install '.[llamacpp]')")
        notices = [
            "the base has to be the very one that was trained on, in a GGUF of the same "
            "architecture: `xtune export BASE base.gguf --format gguf` writes it",
            "the chat template is in a file of its own, since a LoRA file has none",
        ]
        text = report_of(
            out.name,
            reference,
            outcomes,
            compared_with=f"{name} with the adapter {adapter}",
            unchecked=unchecked,
            notices=notices,
        )
        out.with_name(f"{out.name}.parity.md").write_text(text, encoding="utf-8")
        template = session.written.chat_template
        if isinstance(template, str):
            out.with_name(f"{out.name}.jinja").write_text(template, encoding="utf-8")
    return LoraExported(layers, outcomes, unchecked)
