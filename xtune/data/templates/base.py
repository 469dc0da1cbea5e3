"""`Template`: from a dialogue to text with every answer marked, for any jinja chat template.

Nothing is asked of the template but to render. What is trained is found by rendering prefixes:

    prompt   = messages[:i], add_generation_prompt=True   what the model will be given
    written  = messages[:i+1]                             the same, with the answer
    whole    = all messages

    whole    <|user|>Hi<|end|>⏎<|assistant|>«Hello.<|end|>»⏎<|user|>And…
    prompt   ──────────────────────────────│
    written  ────────────────────────────────────────────────│

Where `written` begins with `prompt`, and `whole` with `written` up to the token that ends the
turn, the answer is what lies between. Where not (the template drops earlier reasoning, or looks
at later messages), the dialogue becomes one sample per answer, each as the model will see it; see
answer.py for the last resorts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, cast

from xtune.data.map_fns.base import UnusableRow
from xtune.data.templates.answer import Answers, Disagreement
from xtune.data.templates.dates import tells_the_date
from xtune.data.templates.end_of_turn import PROBE, EndOfTurn, special_tokens
from xtune.data.templates.render import Renderer
from xtune.data.templates.unwritten import TOOL_PARTS, Unwritten
from xtune.errors import DataError, TemplateError
from xtune.registry import TEMPLATES, names, resolve
from xtune.structures import Conversation, Message, Span

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Template", "build_template", "eos_of", "single_answers", "tool_templates"]


class Template:
    """A chat format: dialogue to text, and which of it is trained.

    Attributes:
        name: its name in TEMPLATES, or 'auto'.
        jinja: the text to save as `tokenizer.chat_template`, or None when the tokenizer has none
            (only plain text can be rendered then).
        named: of a tokenizer with several templates all of them by name, to be saved instead;
            dialogues with tools are rendered with 'tool_use'. Else None.
        stop_words: the tokens at which a generation stops; none if the template writes none.
        frame: what a model writes before and after a plain answer's own text, up to the tokens
            that end it: (' ', ' ') for Llama 2, ('\\n', '') for GLM-4; mostly nothing.

    Args:
        name: see above.
        jinja: see above.
        tokenizer: gives the special tokens.
        stop: the token that ends an answer, or several, the first of which ends a plain one and
            the others a call; default: found by rendering.
        named: see above.

    Raises:
        TemplateError: the tokenizer has no such token as `stop`.
    """

    def __init__(
        self,
        name: str,
        jinja: str | None,
        tokenizer: PreTrainedTokenizerBase,
        *,
        stop: str | tuple[str, ...] = (),
        named: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.jinja = jinja
        self.named = None if named is None else dict(named)
        self.stop_words: tuple[str, ...] = (stop,) if isinstance(stop, str) else stop
        self._end_tokens = self.stop_words or special_tokens(tokenizer)
        self._tokenizer = tokenizer
        self._bos = tokenizer.bos_token or ""
        self._eos = tokenizer.eos_token or ""
        for word in self.stop_words:
            _require_one_token(word, name, tokenizer)
        self.frame = ("", "")
        self.writes_reasoning = self._fits = False
        if jinja is not None:
            self._render = Renderer(jinja, tokenizer, tool_use=(self.named or {}).get("tool_use"))
            self._end_of_turn = EndOfTurn(self._render, tokenizer)
            self._answers = Answers(self._render)
            self.stop_words = self.stop_words or self._end_of_turn.tokens
            written = self._written({"role": "assistant", "content": PROBE})
            self._fits = PROBE in written
            if self._fits:
                before, _, after = written.partition(PROBE)
                while ending := next(filter(after.endswith, self._end_tokens), ""):
                    after = after.removesuffix(ending)
                self.frame = before, after
            thoughtful: Message = {"role": "assistant", "content": "!", "reasoning_content": PROBE}
            self.writes_reasoning = PROBE in self._written(thoughtful)

    @cached_property
    def end_tokens(self) -> tuple[str, ...]:
        """The tokens that may end an answer: the stop words, or any special token for 'auto'."""
        within = "" if self.jinja is None else self._end_of_turn.of_call.closing
        return tuple(token for token in self._end_tokens if token != within)

    @property
    def source(self) -> str:
        """The text of all its jinja; '' without any."""
        return "".join((self.named or {"": self.jinja or ""}).values())

    @property
    def key(self) -> list[str]:
        """What tokens depend on, of the template."""
        day = self._render.day if self.jinja is not None and tells_the_date(self.source) else None
        return [self.name, self.source, *self.stop_words, day or ""]

    def pin_day(self, day: str) -> None:
        """Write this day, '2026-11-30', where the jinja asks for today's date."""
        if self.jinja is not None:
            self._render.day = day

    @cached_property
    def unwritten(self) -> Unwritten:
        """Which parts of a dialogue it leaves out."""
        render = None if self.jinja is None else self._render
        return Unwritten(render, self.name, writes_reasoning=self.writes_reasoning)

    def samples_of(self, conversation: Conversation) -> list[list[Span]]:
        """Render a conversation as one sample, or as one per answer where it must be.

        Plain text is trained whole, with BOS before it and EOS after it, as far as the tokenizer
        has them. A conversation without a trained answer gives no sample.

        Raises:
            TemplateError: of no dialogue a part of the rendering is exactly the answer; both texts
                are shown.
            UnusableRow: of this dialogue none is, the template refuses it, or it does not write
                its calls or their results.
        """
        if "text" in conversation:
            return [[Span(self._bos + conversation["text"] + self._eos, True)]]
        if self.jinja is None:
            raise _no_template()
        if not any(map(_is_trained, conversation["messages"])):
            return []
        self.unwritten.require_whole(conversation)
        spans = self._whole(conversation)
        if spans is not None:
            samples = [spans]
        else:
            samples = [self._last_answer(single) for single in single_answers(conversation)]
        if conversation.get("train_on_inputs"):
            return [_trained_from_the_start(sample) for sample in samples]
        return samples

    def text(self, conversation: Conversation) -> str:
        """Render a dialogue once, without looking for its answers."""
        return self._render(conversation["messages"], conversation.get("tools"))

    def prompt(self, conversation: Conversation) -> str:
        """Render a dialogue up to where the assistant begins to write.

        Raises:
            TemplateError: the tokenizer has no chat template.
            UnusableRow: the template refuses this dialogue.
        """
        if self.jinja is None:
            raise _no_template()
        return self._render(
            conversation["messages"], conversation.get("tools"), add_generation_prompt=True
        )

    def spans(self, conversation: Conversation) -> list[Span]:
        """Render a conversation that makes one sample.

        Raises:
            TemplateError: this template needs several samples for it; see `samples_of`.
        """
        samples = self.samples_of(conversation)
        if len(samples) != 1:
            raise TemplateError(
                f"template {self.name!r} makes {len(samples)} samples of this dialogue, not one"
            )
        return samples[0]

    def _whole(self, conversation: Conversation) -> list[Span] | None:
        """All answers in one rendering, or None if a prefix is rendered otherwise than alone."""
        messages, tools = conversation["messages"], conversation.get("tools")
        whole = self._render(messages, tools)
        spans: list[Span] = []
        done = 0
        for index, message in enumerate(messages):
            if not _is_trained(message):
                continue
            prompt = self._render(messages[:index], tools, add_generation_prompt=True)
            is_last = index == len(messages) - 1
            written = whole if is_last else self._render(messages[: index + 1], tools)
            if not written.startswith(prompt) or len(prompt) < done:
                return None
            end = len(prompt) + self._end_of_turn.cut(written[len(prompt) :])
            if not whole.startswith(written[:end]):
                return None
            end += len(self._end_of_turn.of_next(whole[end:]))
            answer = whole[len(prompt) : end]
            if is_last and (missing := self._end_of_turn.missing(message, answer)):
                whole, end = whole[:end] + missing, end + len(missing)
                answer += missing
            elif not is_last and self._end_of_turn.missing_after_call(message, answer):
                return None
            spans += [Span(whole[done : len(prompt)], False), _trained(answer, message)]
            done = end
        spans.append(Span(whole[done:], False))
        return [span for span in spans if span.text]

    def _written(self, answer: Message) -> str:
        """What a model is trained to write for an answer; '' if the template refuses it."""
        question: Message = {"role": "user", "content": "?"}
        for opening in ([question], [cast(Message, {**question, "role": "system"}), question]):
            try:
                spans = self._last_answer({"messages": [*opening, answer]})
            except DataError:
                continue
            return "".join(span.text for span in spans if span.trained)
        return ""

    def _last_answer(self, conversation: Conversation) -> list[Span]:
        """The last message alone is trained, after the prompt that the model will be given."""
        messages, tools = conversation["messages"], conversation.get("tools")
        try:
            prompt, answer = self._answers(messages, tools)
        except Disagreement as found:
            if self._fits:
                raise UnusableRow(
                    "the chat template writes the prompt otherwise where the answer follows, so "
                    "that what the model has to write cannot be told"
                ) from None
            raise TemplateError(self._disagreement(found)) from None
        end = self._end_of_turn.cut(answer)
        missing = self._end_of_turn.missing(messages[-1], answer[:end])
        trained = _trained(answer[:end] + missing, messages[-1])
        spans = [Span(prompt, False), trained, Span("" if missing else answer[end:], False)]
        return [span for span in spans if span.text]

    def _disagreement(self, found: Disagreement) -> str:
        prompt, written = found.prompt, found.written
        same = next(
            (i for i, (a, b) in enumerate(zip(prompt, written, strict=False)) if a != b),
            min(len(prompt), len(written)),
        )
        start = max(same - 60, 0)
        return (
            "the chat template renders a prompt that its rendering with the answer does not begin "
            "with, so what the model has to write cannot be told. From where they part:\n"
            f"  prompt       …{prompt[start : same + 120]!r}\n"
            f"  with answer  …{written[start : same + 120]!r}\n"
            "Correct the tokenizer's chat_template, or name a template whose end token the "
            f"tokenizer has: prompt_template = {' | '.join(_fitting(self._tokenizer))}"
        )


def build_template(
    name: str, tokenizer: PreTrainedTokenizerBase, *, day: str | None = None
) -> Template:
    """Make the template that a config names.

    Args:
        name: 'auto' for the tokenizer's own chat template, a name in TEMPLATES, or
            'path/to/file.py:function' with a function of the tokenizer that returns a Template.
        tokenizer: a tokenizer of transformers.
        day: '2026-11-30', where the template tells today's date; None: by the clock.

    Raises:
        RegistryError: there is no such template.
        TemplateError: it does not fit the tokenizer.
    """
    if name == "auto":
        jinja = tokenizer.chat_template
        named = jinja if isinstance(jinja, dict) else None  # several, by name
        default = named.get("default") if named else jinja
        template = Template("auto", default, tokenizer, named=named)
    else:
        template = cast(Template, resolve(TEMPLATES, name)(tokenizer))
    if day is not None:
        template.pin_day(day)
    return template


def eos_of(tokenizer: PreTrainedTokenizerBase, name: str) -> str:
    """Return the EOS of a tokenizer for the template `name`, which ends its answers with it.

    Args:
        tokenizer: of the run.
        name: of the template, for the message.

    Raises:
        TemplateError: it has none.
    """
    if tokenizer.eos_token is None:
        raise TemplateError(
            f"template {name!r} ends answers with the tokenizer's EOS, and this one has none; "
            "name a template that ends with a token of its own (chatml, llama3_chat, ...)"
        )
    return str(tokenizer.eos_token)


def single_answers(conversation: Conversation) -> Iterator[Conversation]:
    """Yield, for each trained answer, the dialogue up to it with no other answer trained."""
    for index, message in enumerate(conversation["messages"]):
        if _is_trained(message):
            earlier = [
                cast(Message, {**m, "loss": False}) if m["role"] == "assistant" else m
                for m in conversation["messages"][:index]
            ]
            yield {**conversation, "messages": [*earlier, message]}


def _trained_from_the_start(spans: list[Span]) -> list[Span]:
    """The same spans with all trained up to the end of the last one that is."""
    last = max(place for place, span in enumerate(spans) if span.trained)
    return [span._replace(trained=place <= last) for place, span in enumerate(spans)]


def _trained(text: str, message: Message) -> Span:
    weight = message.get("weight", 1)
    return Span(text, True, () if weight == 1 else ((len(text), weight),))


def _no_template() -> TemplateError:
    return TemplateError(
        "the tokenizer has no chat template, so template='auto' cannot render a dialogue; "
        f"name the format: prompt_template = one of {', '.join(names(TEMPLATES))}"
    )


def _is_trained(message: Message) -> bool:
    return message["role"] == "assistant" and message.get("loss", True)


def tool_templates(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """Return the registered templates that fit a tokenizer and write tools, calls and results."""
    fitting = {name: build_template(name, tokenizer) for name in _fitting(tokenizer)}
    return tuple(
        name
        for name, template in fitting.items()
        if "tools" in template.source and template.unwritten.parts.isdisjoint(TOOL_PARTS)
    )


def _fitting(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The registered templates whose end tokens this tokenizer has."""
    found = []
    for name in names(TEMPLATES):
        try:
            build_template(name, tokenizer)
        except TemplateError:
            continue
        found.append(name)
    return found


def _require_one_token(stop: str, name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    # After a letter, as it stands in a rendering: some tokenizers find it only alone.
    ids = tokenizer.encode(f"a{stop}", add_special_tokens=False)
    if tokenizer.convert_ids_to_tokens(ids[-1:]) == [stop]:
        return
    pieces = tokenizer.convert_ids_to_tokens(tokenizer.encode(stop, add_special_tokens=False))
    main_ones_first = [*tokenizer.special_tokens_map.values(), *special_tokens(tokenizer)]
    special = ", ".join(list(dict.fromkeys(map(str, main_ones_first)))[:12]) or "none"
    raise TemplateError(
        f"template {name!r} ends an answer with {stop!r}, which is no single token of this "
        f"tokenizer: it reads it as {pieces}. Its special tokens: {special}. "
        "Use prompt_template='auto' if the tokenizer has a chat template, else one whose end "
        "token is among these; 'default' ends with the tokenizer's own EOS"
    )
