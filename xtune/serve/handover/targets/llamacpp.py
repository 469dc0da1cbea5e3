"""llama.cpp: one GGUF file with the adapter merged in, for llama-server and what builds on it.

DIR/README.md    the commands, what was checked, what is not handed over
"""

from __future__ import annotations

import shlex
from pathlib import Path

from xtune.errors import UsageError
from xtune.export.gguf.architectures import why_not
from xtune.models import load_config
from xtune.serve.handover.given import Given
from xtune.serve.handover.page import write_page

__all__ = ["ANY_LAYOUT", "export_command", "write"]

ANY_LAYOUT = True  # the file is written by xtune, which reads them all
_INSTALL = (
    "# llama-server: https://github.com/ggml-org/llama.cpp, or the package of your system\n"
    "pip install '.[llamacpp]'   # so that the file is proven in llama.cpp itself"
)
_CONTEXT = 8192  # tokens, where the model takes more


def write(given: Given, folder: Path, out: Path) -> str:
    """Write the page, and return the commands.

    Args: as `Target.__call__` has them.

    Raises:
        UsageError: llama.cpp does not compute this model.
    """
    file = out / f"{given.name}.gguf"
    context = min(given.context or _CONTEXT, _CONTEXT)
    serve = (
        f"llama-server -m {shlex.quote(str(file))} --jinja -c {context} "
        "--temp 0.1 --top-p 0.75 --top-k 40 --min-p 0"
    )
    return write_page(
        given,
        folder,
        "llama.cpp",
        install=_INSTALL,
        commands=[export_command(given, file), serve],
        checked=["llama.cpp has an architecture that computes this model"],
        notices=[
            "the export compares the file with `xtune chat`, and keeps it only if it answers alike",
            "ask by `/v1/chat/completions`: `/completion` takes text as it is, with no template",
            "keys and values are kept in F16 unless `-ctk f32 -ctv f32` says otherwise",
        ],
    )


def export_command(given: Given, file: Path) -> str:
    """Return the command that writes the file.

    Args:
        given: what is handed over.
        file: where to.

    Raises:
        UsageError: llama.cpp does not compute this model.
    """
    if reason := why_not(load_config(given.model)):
        raise UsageError(f"{given.model} cannot be handed over to llama.cpp or Ollama: {reason}")
    return f"xtune export {given.shown} {shlex.quote(str(file))} --format gguf --quant q8_0"
