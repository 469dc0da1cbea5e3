"""SGLang: base and adapter served as they are, rsLoRA's scale written where SGLang reads it.

DIR/adapter/     rsLoRA's scale written into alpha: SGLang leaves the flag out, without an error
DIR/tokenizer/   the trained chat template, with the trained system text
DIR/README.md    the commands, what was checked, what is not handed over
"""

from __future__ import annotations

import shlex
from pathlib import Path

from xtune.serve.handover.adapter import write_adapter_for
from xtune.serve.handover.given import Given
from xtune.serve.handover.page import write_page
from xtune.serve.handover.targets.vllm import tool_parser
from xtune.serve.handover.tokenizer import write_tokenizer

__all__ = ["write"]

_RANKS = tuple(range(1, 513))  # any
_PARSERS = {"hermes": "qwen25", "llama3_json": "llama3", "mistral": "mistral"}
_INSTALL = (
    "python -m venv ~/sglang-env && source ~/sglang-env/bin/activate\npip install sglang==0.5.23"
)
_APART = (
    "SGLang cannot be installed next to xtune: it pins another torch, another transformers and "
    "CUDA 13. Give it an environment of its own."
)


def write(given: Given, folder: Path, out: Path) -> str:
    """Write everything, and return the command.

    Args: as `Target.__call__` has them.

    Raises:
        UsageError: SGLang cannot load the adapter, or the template cannot be handed over.
        ModelError: transformers alone renders other ids than xtune.
    """
    checked = write_tokenizer(given, folder / "tokenizer")
    words = [
        *("python -m sglang.launch_server --model-path", shlex.quote(given.base)),
        *("--tokenizer-path", shlex.quote(str(out / "tokenizer"))),
        "--sampling-defaults openai",
    ]
    notices = [
        "ends of an answer are read from the base: send `stop` with the texts above if it goes on",
        "numbers are computed in bf16: near ties may go otherwise",
    ]
    if given.is_chat:
        template = out / "tokenizer" / "chat_template.jinja"
        words += ["--chat-template", shlex.quote(str(template))]
    if given.adapter is not None:
        rank = write_adapter_for(given, "SGLang", folder / "adapter", ranks=_RANKS)
        words += ["--enable-lora", "--max-lora-rank", str(rank)]
        words += ["--lora-paths", shlex.quote(f"{given.name}={out / 'adapter'}")]
        checked.append("the adapter is plain LoRA, and its scale does not hang on use_rslora")
        notices.append(
            f'name the adapter in each request: `"lora_path": "{given.name}"`; without it the base '
            "answers"
        )
    if (parser := tool_parser(given)) is not None:
        words += ["--tool-call-parser", _PARSERS[parser]]
    return write_page(
        given,
        folder,
        "SGLang",
        install=_INSTALL,
        commands=[" ".join(words)],
        checked=checked,
        notices=notices,
        why_apart=_APART,
    )
