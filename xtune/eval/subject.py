"""Who is asked: a model in memory, and what its answers depend on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from xtune.data.fingerprint import fingerprint_tokenizer
from xtune.generation.model import ChatModel
from xtune.generation.room import context_length
from xtune.models import base_of
from xtune.models.packed.packing import published_packing

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Subject", "weights_hash"]


@dataclass(eq=False)
class Subject:
    """A model that is asked, base or trained.

    Attributes:
        llm: the causal language model, with its adapter if there is one.
        tokenizer: with a chat template or without.
        name: for people: the model, and what was put on it.
        stop_words: strings that end an answer in the chat form, besides the model's end tokens.
        system: the system text that it was trained with; '' for none.
        has_dialogues: it was trained on dialogues, so that it is asked in the chat form unless
            the user says otherwise.
        together: all processes of a run hold a part of it and must make the same passes.
        token_budget: tokens of a pass at most; None: what the free memory allows.
        known_weights: what stands for the weights' hash where they are not to be read: they are
            being trained, or no process has them all.
    """

    llm: Any
    tokenizer: PreTrainedTokenizerBase
    name: str = ""
    stop_words: tuple[str, ...] = ()
    system: str = ""
    has_dialogues: bool = False
    together: bool = False
    token_budget: int | None = None
    known_weights: str = ""

    @classmethod
    def of(cls, model: ChatModel) -> Subject:
        """Return a model that is loaded already, as one to ask."""
        return cls(
            llm=model.llm,
            tokenizer=model.tokenizer,
            name=model.name,
            stop_words=model.stop_words,
            system=model.system,
            has_dialogues=True,
        )

    @property
    def context(self) -> int | None:
        """How many tokens it can take in all; None where its config does not say."""
        return context_length(self.llm)

    @property
    def dtype(self) -> str:
        """The dtype of its weights: 'float32', 'bfloat16' …"""
        return str(base_of(self.llm).dtype).removeprefix("torch.")

    @property
    def quantization(self) -> str | None:
        """How its weights are packed; None: not at all."""
        config = getattr(base_of(self.llm), "quantization_config", None) or getattr(
            base_of(self.llm).config, "quantization_config", None
        )
        if config is None:
            return None
        values = config if isinstance(config, dict) else config.to_dict()
        if values.get("load_in_4bit"):
            return f"4 bits ({values.get('bnb_4bit_quant_type', 'nf4')})"
        if (packing := published_packing(values.get("published") or {})) is not None:
            return packing.title
        return "8 bits" if values.get("load_in_8bit") else str(values.get("quant_method"))

    @cached_property
    def weights(self) -> str:
        """The hash of all weights, the adapter's too."""
        return self.known_weights or weights_hash(self.llm)

    @cached_property
    def tokens(self) -> str:
        """The hash of the tokenizer."""
        return fingerprint_tokenizer(self.tokenizer)[:16]

    @property
    def template_hash(self) -> str | None:
        """The hash of the chat template; None where there is none."""
        template = self.tokenizer.chat_template
        if not template:
            return None
        return hashlib.sha256(repr(template).encode()).hexdigest()[:16]

    @property
    def identity(self) -> str:
        """What an answer depends on, besides the tokens that are asked: of the key of a store."""
        return f"{self.weights} {self.tokens} {self.dtype} {self.quantization} {self.stop_words}"

    def described(self) -> dict[str, Any]:
        """Return what it is made of, as JSON values, for a result."""
        return {
            "name": self.name,
            "weights": self.weights,
            "tokenizer": self.tokens,
            "template": self.template_hash,
            "dtype": self.dtype,
            "quantization": self.quantization,
            "context": self.context,
            "device": str(self.llm.get_input_embeddings().weight.device),
        }


def weights_hash(llm: Any) -> str:
    """Return a hash of every weight of a model, and of every buffer that is saved with it.

    Args:
        llm: with an adapter or without, of any dtype or quantization.
    """
    made = hashlib.sha256()
    for name, tensor in llm.state_dict(keep_vars=True).items():
        if not isinstance(tensor, torch.Tensor):
            made.update(f"{name} {tensor}".encode())
            continue
        made.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        if flat.numel():
            made.update(flat.view(torch.uint8).numpy().data)
    return made.hexdigest()[:32]
