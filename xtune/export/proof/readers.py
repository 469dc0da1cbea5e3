"""What was written, read back: by transformers' own loaders, with none of xtune's notes.

A `Reader` is given dialogues and ids, and says what it makes of them; prove.py compares.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from xtune.export.proof.dialogues import Dialogue
from xtune.export.proof.reference import Reference, Scored, log_probs, plain_text
from xtune.export.proof.scores import Given

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Reader", "TransformersReader", "end_ids_of", "loads_gguf"]


class Reader(Protocol):
    """A program that reads the export.

    Attributes:
        name: for the table.
        in_16_bits: whether it computes in bf16 or fp16.
        in_8_bits: whether it rounds what meets packed weights to 8 bits.
    """

    name: str
    in_16_bits: bool
    in_8_bits: bool

    def prompt(self, dialogue: Dialogue, *, is_chat: bool) -> list[int]:
        """Render and tokenise a dialogue, by the export's own files.

        Args:
            dialogue: to be answered.
            is_chat: it is one; else a text that is gone on with.
        """
        ...

    def lacking_ends(self, reference: Reference) -> list[int]:
        """Return the ids that end an answer in chat and do not here."""
        ...

    def given(self, text: Scored) -> list[Given]:
        """Return the distributions at the places of a text."""
        ...

    def greedy(self, text: Scored, reference: Reference) -> list[int]:
        """Go on from the prompt of one of the reference's own answers, greedily.

        Args:
            text: the prompt and the answer.
            reference: whose limits hold.
        """
        ...


class TransformersReader:
    """A model that transformers has read.

    Args:
        name: for the table.
        llm: the model.
        tokenizer: of the export.
        end_ids: that the export's files name.
    """

    def __init__(
        self, name: str, llm: Any, tokenizer: PreTrainedTokenizerBase, end_ids: Sequence[int]
    ) -> None:
        self.name = name
        self.in_16_bits = llm.dtype.itemsize == 2
        self.in_8_bits = False
        self._llm = llm.eval()
        self._tokenizer: Any = tokenizer
        self._ends = set(end_ids)

    def prompt(self, dialogue: Dialogue, *, is_chat: bool) -> list[int]:
        """By `apply_chat_template`, as any program that builds on transformers.

        Args: as in `Reader`.
        """
        if not is_chat:
            ids = list(self._tokenizer(plain_text(dialogue))["input_ids"])
            return ids[: max(len(ids) // 2, 1)]
        text = self._tokenizer.apply_chat_template(
            dialogue.messages,
            tools=dialogue.tools or None,
            add_generation_prompt=True,
            tokenize=False,
        )
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def lacking_ends(self, reference: Reference) -> list[int]:
        """By the export's files.

        Args: as in `Reader`.
        """
        return [number for number in reference.end_ids if number not in self._ends]

    def given(self, text: Scored) -> list[Given]:
        """In one forward pass.

        Args: as in `Reader`.
        """
        return [Given(None, row) for row in log_probs(self._llm, text.ids, text.places)]

    def greedy(self, text: Scored, reference: Reference) -> list[int]:
        """Its likeliest token at each place of the reference's answer: the same up to a difference.

        Args: as in `Reader`.
        """
        rows = log_probs(self._llm, text.ids, text.places)
        return [int(token) for token in rows.argmax(-1)]


def loads_gguf(architecture: str, config: Any) -> str:
    """Say why transformers does not read a file of this kind as llama.cpp does; '' if it does.

    Its reader takes a few settings of each architecture, and the rest as the class has them.

    Args:
        architecture: of llama.cpp.
        config: of the model that was written.
    """
    rope = getattr(config, "rope_parameters", None) or {}
    if architecture not in ("llama", "qwen2", "qwen3", "gemma2"):
        return f"transformers reads {architecture} files otherwise or not at all"
    if rope.get("rope_type", "default") != "default":
        return "transformers leaves out how a GGUF file scales positions"
    if getattr(config, "attention_bias", False) or getattr(config, "num_local_experts", 0):
        return "transformers' reader has no place for these weights"
    if architecture == "gemma2" and config.query_pre_attn_scalar != 256:
        return "transformers takes 256 for query_pre_attn_scalar of every Gemma 2"
    if architecture == "qwen3" and config.head_dim != 128:
        return "transformers takes 128 for the length of every Qwen3 head"
    return ""


def end_ids_of(folder: Path) -> list[int]:
    """Return what a folder's generation_config.json names.

    Args:
        folder: of an export.
    """
    file = folder / "generation_config.json"
    found = json.loads(file.read_text(encoding="utf-8")).get("eos_token_id")
    return found if isinstance(found, list) else [] if found is None else [found]
