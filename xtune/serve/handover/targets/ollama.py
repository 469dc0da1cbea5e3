"""Ollama: a GGUF file and a Modelfile whose Go template writes what the jinja template does.

DIR/README.md    the commands, what was checked, what is not handed over
"""

from __future__ import annotations

import copy
import shlex
from pathlib import Path

from xtune.errors import TemplateError, UsageError
from xtune.export.gguf.go_template import go_template
from xtune.export.system_text import write_system_into
from xtune.serve.handover.given import Given
from xtune.serve.handover.page import write_page
from xtune.serve.handover.targets.llamacpp import export_command

__all__ = ["ANY_LAYOUT", "write"]

ANY_LAYOUT = True  # the file is written by xtune, which reads them all


def write(given: Given, folder: Path, out: Path) -> str:
    """Write the page, and return the commands.

    Args: as `Target.__call__` has them.

    Raises:
        UsageError: llama.cpp does not compute this model, or the chat template cannot be written
            in Go's language, the only one that Ollama reads.
    """
    file = out / f"{given.name}.gguf"
    commands = [export_command(given, file)]
    tokenizer = copy.deepcopy(given.tokenizer)
    write_system_into(tokenizer, given.system)
    try:
        go_template(tokenizer)
    except TemplateError as error:
        raise UsageError(
            f"Ollama cannot run {given.name} as xtune chat does: {error}. llama.cpp's own server "
            f"reads the template as it is: xtune handover {given.shown} llamacpp"
        ) from error
    name = given.name.lower()
    commands.append(f"ollama create {name} -f {shlex.quote(f'{file}.Modelfile')}")
    commands.append(f"ollama run {name}")
    return write_page(
        given,
        folder,
        "Ollama",
        install="# https://ollama.com/download",
        commands=commands,
        checked=[
            "llama.cpp has an architecture that computes this model",
            "the Go template gives the text of the jinja template, over one, two and three turns, "
            "with a system text and without",
        ],
        notices=[
            "tools are not in the Go template: ask without them",
            "the adapter is merged: Ollama's ADAPTER needs the very base that it was trained on",
        ],
    )
