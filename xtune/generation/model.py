"""A model to talk to: weights, tokenizer, chat template and stop words, loaded together."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

import torch

from xtune.data.map_fns.dialogue import checked_messages
from xtune.data.templates import build_template
from xtune.data.templates.default_system import default_system_of
from xtune.data.templates.render import own_renderer
from xtune.data.templates.unwritten import TOOL_PARTS
from xtune.data.tool_calls import CallForm, call_form
from xtune.errors import ModelError, UsageError
from xtune.generation.answer import Answer
from xtune.generation.cache_form import form_of
from xtune.generation.generate import answer_batch, context_length, prompt_ids, stream_answer
from xtune.generation.locate import Located, locate, training_notes
from xtune.generation.reply import Reply, UntilCall, reply_of
from xtune.generation.row_cache import require_keys_and_values
from xtune.generation.settings import GenerationSettings
from xtune.models import load_model, load_tokenizer
from xtune.models.onednn_weights import pack_weights
from xtune.models.quantization import quantization_of_bits
from xtune.parallel.openmp import sharing_processors
from xtune.registry import TEMPLATES, names
from xtune.structures import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["ChatModel", "tokenizer_of"]


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
        kv_bits: 8 where `stream` and `chat` hold keys and values in 8 bits.
    """

    llm: Any
    tokenizer: PreTrainedTokenizerBase
    stop_words: tuple[str, ...] = ()
    system: str = ""
    name: str = ""
    trained_on: str = ""
    kv_bits: int | None = None

    @classmethod
    def load(
        cls,
        name_or_path: str | PathLike[str] | None = None,
        *,
        adapter: str | PathLike[str] | None = None,
        bits: int | None = None,
        dtype: str = "auto",
        prompt_template: str | None = None,
        kv_bits: int | None = None,
    ) -> ChatModel:
        """Load a model with the template it was trained with.

            model = xtune.load('work_dirs/smollm2_135m_lora_toolcall')
            print(model.chat('What is 301 miles in kilometres?'))

        Args:
            name_or_path: a hub id, a folder, a `.gguf` file, the alias `smollm2`, or the work_dir
                or a checkpoint of a run. None: the model that the adapter names.
            adapter: an adapter's folder, or the work_dir or checkpoint that holds it. The
                tokenizer, and with it the template, is then the adapter's.
            bits: 4 (NF4) or 8 quantizes the weights while they are loaded.
            dtype: 'auto', 'fp32', 'bf16' or 'fp16'.
            prompt_template: a registered template, instead of the tokenizer's own.
            kv_bits: 8 holds keys and values in 8 bits: half of the memory for a long dialogue.

        Returns:
            The model, on the GPU if there is one.

        Raises:
            ModelError: there is no such model, or it cannot be loaded.
            AdapterError: the adapter belongs to another base model.
            UsageError: there is no such adapter, or quantization; or no chat template, and none
                was named; or the model keeps something else than keys and values.
        """
        form_of(kv_bits)
        quantization = quantization_of_bits(bits)
        named = None if name_or_path is None else fspath(name_or_path)
        found = locate(named, None if adapter is None else fspath(adapter))
        model_name, adapter_folder = found.model, found.adapter
        notes = training_notes(found.trained)
        tokenizer, stop_words = tokenizer_of(found, notes, prompt_template)
        if not tokenizer.chat_template:
            raise UsageError(
                f"{str(found.trained)!r} has no chat template of its own; name the one it was "
                f"trained with: --prompt-template {'|'.join(names(TEMPLATES))}"
            )
        try:
            llm: Any = load_model(
                model_name,
                dtype=dtype,
                quantization=quantization,
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
        if kv_bits:
            require_keys_and_values(llm, context_length(llm) or 0)
        pack_weights(llm)
        return cls(
            llm=llm,
            tokenizer=tokenizer,
            stop_words=stop_words,
            system=notes.get("system") or "",
            name=str(named) if adapter_folder is None else f"{model_name} + {adapter_folder}",
            trained_on=str(notes.get("map_fn") or ""),
            kv_bits=kv_bits,
        )

    @property
    def context(self) -> int | None:
        """How many tokens the model can take in all; None where its config does not say."""
        return context_length(self.llm)

    @property
    def default_system(self) -> str:
        """The system text that the chat template writes where there is none; '' if none."""
        return default_system_of(own_renderer(self.tokenizer))

    @property
    def call_form(self) -> CallForm | None:
        """How its chat template writes calls of tools; None: not at all, or in no known form."""
        return call_form(build_template("auto", self.tokenizer))

    def count_tokens(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()
    ) -> int:
        """How many tokens the prompt for the next answer has.

        Args:
            messages: the dialogue so far.
            tools: their descriptions.
        """
        return len(prompt_ids(self.tokenizer, messages, tools))

    def chat(
        self,
        messages: str | Sequence[Message],
        *,
        tools: Sequence[dict[str, Any]] = (),
        stream: bool | Callable[[str], None] = False,
        max_new_tokens: int = 512,
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int = 0,
        repetition_penalty: float = 1.0,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        seed: int | None = None,
    ) -> Reply:
        """Answer a dialogue, with the system prompt of the training unless it brings its own.

            print(model.chat('Who are you?'))
            dialogue = [{'role': 'user', 'content': 'Who are you?'}]
            reply = model.chat(dialogue, stream=True)
            dialogue += [reply.message, {'role': 'user', 'content': 'And who am I?'}]

        Args:
            messages: the dialogue, which ends with what is to be answered; or that alone, as text.
            tools: what the model may call, in OpenAI's form.
            stream: True prints the answer while it is written; a function is given its pieces.
                Calls of tools are no part of it. Ctrl-C ends the answer where it stands.
            max_new_tokens: as in `GenerationSettings`, and so are all that follow.
            temperature: 0 takes the likeliest token each time.
            top_p: sample among the likeliest tokens that together have this probability.
            top_k: sample among this many likeliest tokens; 0 is all.
            repetition_penalty: above 1 makes tokens that were already said less likely.
            presence_penalty: taken from the logit of a token that the answer has.
            frequency_penalty: taken from it as often as the answer has the token.
            seed: the same seed gives the same answer.

        Returns:
            The reply; printed it is its text. `message` goes on with the dialogue, and has the
            `tool_calls`.

        Raises:
            UsageError: there is nothing to answer, the prompt fills the context, a setting is out
                of range, or the chat template has no place for tools.
            DataError: these are no messages, or the chat template refuses them.
        """
        settings = GenerationSettings(
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            repetition_penalty=repetition_penalty,
            presence_penalty=presence_penalty,
            frequency_penalty=frequency_penalty,
            seed=seed,
        )
        dialogue = self.dialogue(messages)
        if tools:
            self.require_tools()
        show = _print if stream is True else stream or _say_nothing
        with sharing_processors():
            reply = self.reply(dialogue, show, settings=settings, tools=tools)
        if stream is True:
            _print("\n")
        return reply

    def reply(
        self,
        messages: Sequence[Message],
        on_text: Callable[[str], None],
        *,
        settings: GenerationSettings,
        tools: Sequence[dict[str, Any]] = (),
        stop_words: Sequence[str] = (),
    ) -> Reply:
        """Answer, and read the calls in the answer; see `stream`.

        Args:
            messages: the dialogue.
            on_text: given the text as it is written, up to where a call begins.
            settings: how to sample.
            tools: what the model may call, in OpenAI's form; none unless there is a `call_form`.
            stop_words: further strings that end the answer.
        """
        form = self.call_form if tools else None
        shown = UntilCall(on_text, form)
        answer = self.stream(
            messages, shown.push, settings=settings, tools=tools, stop_words=stop_words
        )
        shown.finish()
        return reply_of(answer, form)

    def stream(
        self,
        messages: Sequence[Message],
        on_text: Callable[[str], None],
        *,
        settings: GenerationSettings,
        tools: Sequence[dict[str, Any]] = (),
        stop_words: Sequence[str] = (),
    ) -> Answer:
        """Answer, giving the text out as it is written; see `generate.stream_answer`.

        Args:
            messages: the dialogue so far.
            on_text: is given each piece of the answer.
            settings: how it is sampled.
            tools: their descriptions.
            stop_words: texts that end it, next to those of the model.
        """
        return stream_answer(
            self.llm,
            self.tokenizer,
            messages,
            on_text,
            stop_words=(*self.stop_words, *stop_words),
            settings=settings,
            tools=tools,
            form=form_of(self.kv_bits) if self.kv_bits else None,
        )

    def answer_batch(self, dialogues: Sequence[Sequence[Message]], **settings: Any) -> list[str]:
        """Answer many dialogues at once; see `generate.answer_batch`."""
        return answer_batch(
            self.llm, self.tokenizer, dialogues, stop_words=self.stop_words, **settings
        )

    def dialogue(self, messages: str | Sequence[Message]) -> list[Message]:
        """Check messages, and put the system prompt of the training before them.

        Args:
            messages: as for `chat`.

        Raises:
            UsageError: there is nothing to answer.
            DataError: these are no messages.
        """
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        dialogue = checked_messages(messages)
        last = dialogue[-1]["role"] if dialogue else None
        if last not in ("user", "tool"):
            raise UsageError(
                f"the dialogue ends with a message of role {last!r}; it must end "
                "with what is to be answered, a user's message or a tool's result"
            )
        if self.system and dialogue[0]["role"] != "system":
            dialogue.insert(0, {"role": "system", "content": self.system})
        return dialogue

    def require_tools(self) -> None:
        """Refuse tools where the chat template has no place for them.

        Raises:
            UsageError: what is missing.
        """
        template = build_template("auto", self.tokenizer)
        missing = sorted(template.unwritten.parts.intersection(TOOL_PARTS))
        if missing or self.call_form is None:
            what = missing[0] if missing else "calls in a form that can be read"
            raise UsageError(
                f"the chat template of {self.name} does not write {what}: leave tools out, or let "
                "an agent put them into the text: xtune chat --lagent"
            )


def tokenizer_of(
    found: Located, notes: Mapping[str, Any], prompt_template: str | None = None
) -> tuple[PreTrainedTokenizerBase, tuple[str, ...]]:
    """Return the tokenizer with the chat template trained with, and the words that end an answer.

    Args:
        found: the model and its adapter; the tokenizer is the adapter's, if it has one.
        notes: of the training.
        prompt_template: a registered template, instead of the tokenizer's own.
    """
    adapter = found.adapter
    has_own = adapter is not None and (adapter / "tokenizer_config.json").is_file()
    tokenizer = load_tokenizer(str(adapter) if has_own else found.model)
    stop_words = tuple(notes.get("stop_words") or ())
    if prompt_template is not None:
        template = build_template(prompt_template, tokenizer)
        tokenizer.chat_template = template.jinja
        stop_words = tuple(template.stop_words)
    return tokenizer, stop_words


def _print(piece: str) -> None:
    sys.stdout.write(piece)
    sys.stdout.flush()


def _say_nothing(piece: str) -> None:
    pass
