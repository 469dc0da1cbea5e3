"""LMDeploy: the merged model, since it takes the chat template from the model's folder alone.

    DIR/README.md    the commands, what was checked, what is not handed over

Its PyTorch engine loads adapters by PEFT 0.14, and applies the base's template to them; turbomind
loads none.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from xtune.serve.handover.given import Given
from xtune.serve.handover.page import write_page

__all__ = ["write"]

_INSTALL = (
    "python -m venv ~/lmdeploy-env && source ~/lmdeploy-env/bin/activate\n"
    "pip install lmdeploy==0.18.0"
)
_APART = (
    "LMDeploy cannot be installed next to xtune: it pins torch up to 2.12 and PEFT up to 0.14. "
    "Give it an environment of its own."
)


def write(given: Given, folder: Path, out: Path) -> str:
    """Write the page, and return the commands.

    Args: as `Target.__call__` has them.
    """
    model, commands = given.base, []
    notices = ["numbers are computed in bf16: near ties may go otherwise"]
    if given.adapter is not None:
        model = str(out / "model")
        commands.append(f"xtune export {given.shown} {shlex.quote(model)}")
        notices.append(
            "the adapter is merged: next to its base it would be asked with the base's template"
        )
    elif given.system:
        notices.append(
            "the system text that was trained with is not in this folder's template: write it "
            f"there by `xtune export {given.shown} OUT`, and hand OUT over"
        )
    words = [
        *("lmdeploy serve api_server", shlex.quote(model)),
        *("--model-name", shlex.quote(given.name)),
    ]
    commands.append(" ".join(words))
    return write_page(
        given,
        folder,
        "LMDeploy",
        install=_INSTALL,
        commands=commands,
        checked=["the base is in transformers' own layout"],
        notices=notices,
        why_apart=_APART,
    )
