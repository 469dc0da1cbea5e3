"""The models that a server offers: a base, and its adapters by name, each with its own template."""

from __future__ import annotations

import copy
import importlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM

from xtune.data.templates import build_template
from xtune.generation.answer import Answer
from xtune.generation.generate import prompt_ids
from xtune.generation.locate import Located, training_notes
from xtune.generation.model import ChatModel, tokenizer_of
from xtune.generation.stopping import stop_ids_and_words
from xtune.models import load_config, load_model
from xtune.models.adapter_switch import AdapterSwitch
from xtune.models.onednn_weights import pack_weights
from xtune.models.quantization import quantization_of_bits
from xtune.structures import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Served", "ServedModel", "load_front", "load_served"]


class ServedModel:
    """A model by the name that clients know: the base, or the base with an adapter.

    Args:
        id: the name.
        chat: its weights, tokenizer, template, stop words and system prompt.
        adapter: the number of its adapter; None for the base.

    Attributes:
        created: seconds since 1970; when it was loaded.
        call_form: how it writes calls of tools; None: not at all.
        stop_ids: tokens that end an answer.
        stop_words: strings that do, for those that are no single token.
        opens_thinking: its prompts end within reasoning, which the answer goes on with.
    """

    def __init__(self, id: str, chat: ChatModel, adapter: int | None) -> None:
        self.id = id
        self.chat = chat
        self.adapter = adapter
        self.created = int(time.time())
        self.stop_ids, self.stop_words = stop_ids_and_words(
            chat.llm, chat.tokenizer, chat.stop_words
        )
        has_template = bool(chat.tokenizer.chat_template)
        self.call_form = chat.call_form if has_template else None
        self._frame = build_template("auto", chat.tokenizer).frame if has_template else ("", "")
        # The engine's thread decodes with `chat.tokenizer` while a request is encoded with this.
        self._front = copy.deepcopy(chat.tokenizer)
        self._one_at_a_time = threading.Lock()

    @property
    def rows(self) -> int:
        """How many tokens the model knows: the rows of its embedding."""
        return int(self.chat.llm.get_input_embeddings().weight.shape[0])

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """For the spelling of tokens; see `encode` for texts."""
        return self.chat.tokenizer

    @cached_property
    def grammar_tokenizer(self) -> Any:
        """What llguidance knows of the tokens; needs that package, and a second or two."""
        hf = importlib.import_module("llguidance.hf")
        return hf.from_tokenizer(self._front, n_vocab=self.rows, eos_token=list(self.stop_ids))

    def new_answer(
        self, stop: Sequence[str] = (), stop_ids: Sequence[int] = (), *, is_chat: bool
    ) -> Answer:
        """Return an empty answer that ends where this model's do.

        Args:
            stop: further strings that end it.
            stop_ids: further tokens that do.
            is_chat: what the template writes around an answer is no part of it.
        """
        return Answer(
            self.chat.tokenizer,
            stop_ids=(*self.stop_ids, *stop_ids),
            stop_words=(*self.stop_words, *stop),
            frame=self._frame if is_chat else ("", ""),
        )

    @contextmanager
    def front(self) -> Iterator[PreTrainedTokenizerBase]:
        """Give this thread alone the tokenizer that requests are read with."""
        with self._one_at_a_time:
            yield self._front

    def render(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> list[int]:
        """Return the prompt of a dialogue, as chat renders it.

        Args:
            messages: as `ChatModel.dialogue` returns them.
            tools: in OpenAI's form.
        """
        with self.front() as tokenizer:
            return prompt_ids(tokenizer, messages, tools)

    def encode(self, text: str, *, add_special: bool = False) -> list[int]:
        """Return the tokens of a text.

        Args:
            text: control texts in it are control tokens.
            add_special: put in front, or behind, what the tokenizer does.
        """
        with self.front() as tokenizer:
            return list(tokenizer.encode(text, add_special_tokens=add_special))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, special ones too."""
        with self.front() as tokenizer:
            text = tokenizer.decode(
                list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        assert isinstance(text, str)
        return text


class Served:
    """All that a server offers.

    Args:
        switch: the base with its adapters.
        models: by name, the base first.
    """

    def __init__(self, switch: AdapterSwitch, models: Sequence[ServedModel]) -> None:
        self.switch = switch
        self.models: Mapping[str, ServedModel] = {model.id: model for model in models}


def load_served(
    wanted: Mapping[str, Located],
    *,
    bits: int | None = None,
    dtype: str = "auto",
    prompt_template: str | None = None,
) -> Served:
    """Load a base and its adapters.

    Args:
        wanted: what `wanted_models` has found.
        bits: as for `ChatModel.load`, and so are `dtype` and `prompt_template`.
        dtype: of the base.
        prompt_template: of the base, and of adapters that have no tokenizer of their own.

    Raises:
        ModelError: the base cannot be loaded.
        AdapterError: an adapter does not fit.
    """
    ((_, base), *_) = wanted.items()
    llm: Any = load_model(
        base.model,
        dtype=dtype,
        quantization=quantization_of_bits(bits),
        device="cuda" if torch.cuda.is_available() else "cpu",
    )
    folders = [each.adapter for each in wanted.values() if each.adapter is not None]
    switch = AdapterSwitch(llm, folders)
    pack_weights(switch.llm)
    return Served(switch, _models(wanted, switch.llm, prompt_template))


def load_front(wanted: Mapping[str, Located], *, prompt_template: str | None = None) -> Served:
    """Load what renders and reads a model's text, for an engine that has the weights itself.

    Args:
        wanted: a base and its adapters.
        prompt_template: as for `ChatModel.load`.

    Raises:
        ModelError: it is not there.
    """
    ((_, base), *_) = wanted.items()
    config = load_config(base.model)
    with torch.device("meta"):
        llm: Any = AutoModelForCausalLM.from_config(config)
    return Served(AdapterSwitch(llm, []), _models(wanted, llm, prompt_template))


def _models(
    wanted: Mapping[str, Located], llm: Any, prompt_template: str | None
) -> list[ServedModel]:
    models = []
    adapters = 0
    for name, found in wanted.items():
        notes = training_notes(found.trained)
        tokenizer, stop_words = tokenizer_of(found, notes, prompt_template)
        chat = ChatModel(
            llm=llm,
            tokenizer=tokenizer,
            stop_words=stop_words,
            system=notes.get("system") or "",
            name=name,
            trained_on=str(notes.get("map_fn") or ""),
        )
        models.append(ServedModel(name, chat, None if found.adapter is None else adapters))
        adapters += found.adapter is not None
    return models
