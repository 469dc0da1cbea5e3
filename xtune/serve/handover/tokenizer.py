"""The tokenizer as another program reads it, and proof that its ids are those of `xtune chat`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtune.errors import ModelError, UsageError
from xtune.export.system_text import with_system
from xtune.generation.generate import prompt_ids
from xtune.models.older_readers import save_tokenizer
from xtune.serve.handover.given import Given

if TYPE_CHECKING:
    from xtune.structures import Message

__all__ = ["PROBES", "write_tokenizer"]

PROBES: tuple[list[Message], ...] = (
    [{"role": "user", "content": "What is 12*31?"}],
    [
        {"role": "user", "content": "  1, 2,\n\n3 — 四？ 🦜 "},
        {"role": "assistant", "content": "five.\n"},
        {"role": "user", "content": "请用中文回答：why?"},
    ],
)


def write_tokenizer(given: Given, folder: Path) -> list[str]:
    """Write the tokenizer and read it back with transformers alone; ids must be ours.

    A system text that the model was trained with becomes the template's own, for dialogues that
    bring none: other programs do not know of it.

    Args:
        given: what is handed over.
        folder: where to; made if missing.

    Returns:
        What was checked, for the page: nothing where there is no chat template.

    Raises:
        UsageError: the template refuses a system text, or is one of several.
        ModelError: what is read back gives other ids.
    """
    from transformers import AutoTokenizer

    tokenizer = given.tokenizer
    template = tokenizer.chat_template
    if template is None:
        save_tokenizer(tokenizer, folder)
        return []
    if not isinstance(template, str):
        raise UsageError(
            f"the tokenizer has several chat templates ({', '.join(template)}); other programs "
            "take one: keep one in its chat_template.jinja"
        )
    ours = [_ours(given, probe) for probe in PROBES]
    try:
        tokenizer.chat_template = with_system(template, given.system)
        save_tokenizer(tokenizer, folder)
    finally:
        tokenizer.chat_template = template
    read = AutoTokenizer.from_pretrained(folder)
    for probe, expected in zip(PROBES, ours, strict=True):
        asked: list[Any] = list(probe)
        text = read.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
        ids = read(text, add_special_tokens=False)["input_ids"]
        if ids != expected:
            at = next(
                (
                    at
                    for at, pair in enumerate(zip(ids, expected, strict=False))
                    if len({*pair}) > 1
                ),
                min(len(ids), len(expected)),
            )
            raise ModelError(
                f"transformers alone renders another prompt than xtune chat: token {at} is "
                f"{_token(read, ids, at)} and should be {_token(tokenizer, expected, at)}. Nothing "
                "is written. Please report this with the name of the model"
            )
    return [
        "transformers alone renders the token ids of `xtune chat`, by `tokenizer/`"
        + (", system text included" if given.system else "")
    ]


def _ours(given: Given, probe: list[Message]) -> list[int]:
    system: list[Message] = [{"role": "system", "content": given.system}] if given.system else []
    return prompt_ids(given.tokenizer, [*system, *probe])


def _token(tokenizer: Any, ids: list[int], at: int) -> str:
    return repr(tokenizer.convert_ids_to_tokens(ids[at])) if at < len(ids) else "not there"
