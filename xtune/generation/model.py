"""A model to talk to: weights, tokenizer, chat template and stop words, loaded together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from xtune.data.templates import build_template
from xtune.data.templates.default_system import default_system_of
from xtune.data.templates.render import own_renderer
from xtune.errors import ModelError, UsageError
from xtune.generation.answer import Answer
from xtune.generation.generate import answer_batch, context_length, prompt_ids, stream_answer
from xtune.generation.locate import locate, training_notes
from xtune.generation.settings import GenerationSettings
from xtune.models import load_model, load_tokenizer
from xtune.models.onednn_weights import pack_weights
from xtune.registry import TEMPLATES, names
from xtune.structures import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["ChatModel"]

_QUANTIZATION = {
    4: {"bits": 4, "quant_type": "nf4", "double_quant": True},
    8: {"bits": 8},
}


@dataclass(slots=True)
class ChatModel:
    """A model, and what one must know to talk to it.

    Attributes:
        llm: the causal language model, in eval mode, with its adapter if there is one.
        tokenizer: has a chat template.
        stop_words: strings that end an answer, besides the model's own end tokens.
        system: the system prompt that the adapter was trained with; '' if none.
        name: for people: the model, and the adapter's folder.
        trained_on: the map_fn of what it was trained on; '' if that is not known.
    """

    llm: Any
    tokenizer: PreTrainedTokenizerBase
    stop_words: tuple[str, ...] = ()
    system: str = ""
    name: str = ""
    trained_on: str = ""

    @classmethod
    def load(
        cls,
        name_or_path: str | None,
        *,
        adapter: str | Path | None = None,
        bits: int | None = None,
        dtype: str = "auto",
        prompt_template: str | None = None,
    ) -> ChatModel:
        """Load a model with the template it was trained with.

        Args:
            name_or_path: a hub id, a folder, a `.gguf` file, the alias `smollm2`, or the work_dir
                or a checkpoint of a run. None: the model that the adapter names.
            adapter: an adapter's folder, or the work_dir or checkpoint that holds it. The
                tokenizer, and with it the template, is then the adapter's.
            bits: 4 (NF4) or 8 quantizes the weights while they are loaded.
            dtype: 'auto', 'fp32', 'bf16' or 'fp16'.
            prompt_template: a registered template, instead of the tokenizer's own.

        Raises:
            ModelError: there is no such model, or it cannot be loaded.
            AdapterError: the adapter belongs to another base model.
            UsageError: there is no such adapter; or no chat template, and none was named.
        """
        found = locate(name_or_path, adapter)
        model_name, adapter_folder = found.model, found.adapter
        notes = training_notes(found.trained)
        has_tokenizer = adapter_folder is not None and _has_tokenizer(adapter_folder)
        tokenizer = load_tokenizer(str(adapter_folder) if has_tokenizer else model_name)
        stop_words = tuple(notes.get("stop_words") or ())
        if prompt_template is not None:
            template = build_template(prompt_template, tokenizer)
            tokenizer.chat_template = template.jinja
            stop_words = tuple(template.stop_words)
        if not tokenizer.chat_template:
            raise UsageError(
                f"{str(found.trained)!r} has no chat template of its own; name the one it was "
                f"trained with: --prompt-template {'|'.join(names(TEMPLATES))}"
            )
        try:
            llm: Any = load_model(
                model_name,
                dtype=dtype,
                quantization=None if bits is None else _QUANTIZATION[bits],
                device="cuda" if torch.cuda.is_available() else "cpu",
            )
        except ModelError as error:
            if not found.implied:
                raise
            raise ModelError(
                f"{error}\nThe adapter in {adapter_folder} names this model; if it "
                f"is elsewhere: MODEL --adapter {adapter_folder}"
            ) from error
        if adapter_folder is not None:
            from xtune.models import load_adapter  # imports PEFT

            llm = load_adapter(llm, adapter_folder)
        llm.eval()
        pack_weights(llm)
        return cls(
            llm=llm,
            tokenizer=tokenizer,
            stop_words=stop_words,
            system=notes.get("system") or "",
            name=str(name_or_path)
            if adapter_folder is None
            else f"{model_name} + {adapter_folder}",
            trained_on=str(notes.get("map_fn") or ""),
        )

    @property
    def context(self) -> int | None:
        """How many tokens the model can take in all; None where its config does not say."""
        return context_length(self.llm)

    @property
    def default_system(self) -> str:
        """The system text that the chat template writes where there is none; '' if none."""
        return default_system_of(own_renderer(self.tokenizer))

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """How many tokens the prompt for the next answer has."""
        return len(prompt_ids(self.tokenizer, messages))

    def stream(
        self,
        messages: Sequence[Message],
        on_text: Callable[[str], None],
        *,
        settings: GenerationSettings,
    ) -> Answer:
        """Answer, giving the text out as it is written; see `generate.stream_answer`."""
        return stream_answer(
            self.llm,
            self.tokenizer,
            messages,
            on_text,
            stop_words=self.stop_words,
            settings=settings,
        )

    def answer_batch(self, dialogues: Sequence[Sequence[Message]], **settings: Any) -> list[str]:
        """Answer many dialogues at once; see `generate.answer_batch`."""
        return answer_batch(
            self.llm, self.tokenizer, dialogues, stop_words=self.stop_words, **settings
        )


def _has_tokenizer(folder: Path) -> bool:
    return (folder / "tokenizer_config.json").is_file()
