"""vLLM: base and adapter served as they are, with the trained template and end tokens.

    DIR/adapter/      rsLoRA's scale written into alpha, which every version reads
    DIR/tokenizer/    the trained chat template, with the trained system text
    DIR/generation/   generation_config.json: every id that ends an answer, and no sampling
    DIR/README.md     the commands, what was checked, what is not handed over

Read off vLLM 0.33: it takes rank 16 unless told otherwise, samples by the checkpoint's own
generation_config.json, and loads neither DoRA nor modules_to_save.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from xtune.serve.handover.adapter import write_adapter_for
from xtune.serve.handover.given import Given
from xtune.serve.handover.page import write_page
from xtune.serve.handover.tokenizer import write_tokenizer

__all__ = ["tool_parser", "write"]

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # --max-lora-rank takes these
_INSTALL = "python -m venv ~/vllm-env && source ~/vllm-env/bin/activate\npip install vllm==0.33.0"
_APART = (
    "vLLM cannot be installed next to xtune: it pins another torch and another transformers. Give "
    "it an environment of its own."
)
_PARSERS = (
    ("<tool_call>", "hermes"),
    ("<|python_tag|>", "llama3_json"),
    ("[TOOL_CALLS]", "mistral"),
)


def write(given: Given, folder: Path, out: Path) -> str:
    """Write everything, and return the command.

    Args: as `Target.__call__` has them.

    Raises:
        UsageError: vLLM cannot load the adapter, or the template cannot be handed over.
        ModelError: transformers alone renders other ids than xtune.
    """
    checked = write_tokenizer(given, folder / "tokenizer")
    (folder / "generation").mkdir()
    ends: Any = given.tokenizer.convert_tokens_to_ids(list(given.stop_words))
    fields = {"eos_token_id": [n for n in ends if n not in (None, given.tokenizer.unk_token_id)]}
    text = json.dumps(fields, indent=2) + "\n"
    (folder / "generation" / "generation_config.json").write_text(text, encoding="utf-8")
    words = [
        *("vllm serve", shlex.quote(given.base)),
        *("--tokenizer", shlex.quote(str(out / "tokenizer"))),
        *("--generation-config", shlex.quote(str(out / "generation"))),
    ]
    if given.is_chat:
        template = out / "tokenizer" / "chat_template.jinja"
        words += ["--chat-template", shlex.quote(str(template))]
    name = given.name
    if given.adapter is not None:
        rank = write_adapter_for(given, "vLLM", folder / "adapter", ranks=_RANKS)
        words += ["--enable-lora", "--max-lora-rank", str(rank)]
        words += ["--lora-modules", shlex.quote(f"{name}={out / 'adapter'}")]
        checked.append(f"the adapter is plain LoRA of a rank that {rank} allows")
    else:
        words += ["--served-model-name", shlex.quote(name)]
    if parser := tool_parser(given):
        words += ["--enable-auto-tool-choice", "--tool-call-parser", parser]
    notices = [
        f"ask for the model {name!r}: another name is the base without the adapter, or an error",
        "numbers are computed in bf16: near ties may go otherwise",
    ]
    if given.is_chat:
        notices.append(
            "ask by `/v1/chat/completions`: `/v1/completions` adds a beginning-of-text token"
        )
    return write_page(
        given,
        folder,
        "vLLM",
        install=_INSTALL,
        commands=[" ".join(words)],
        checked=checked,
        notices=notices,
        why_apart=_APART,
    )


def tool_parser(given: Given) -> str | None:
    """Return the parser of calls that fits the chat template; None if it writes none that is known.

    Args:
        given: what is handed over.
    """
    template = given.tokenizer.chat_template
    text = template if isinstance(template, str) else ""
    if "tools" not in text:
        return None
    return next((name for mark, name in _PARSERS if mark in text), None)
