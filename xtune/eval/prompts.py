"""`Renderer`: from what a task asks to the token ids that a model reads, in the form that it knows.

    completion   one text: description, shots, question; the continuation after the delimiter
    chat         the model's own chat template: description as the system text, shots as turns

The rules are those of lm_eval 0.4.13, so that numbers agree:

    blanks     those at the end of a context begin the continuation instead
    split      context + continuation is one text; the continuation's tokens are those behind the
               context's own
    BOS        as the tokenizer adds it, unless the text begins with it; a chat template writes its
               own, as in training
    nothing    before a text without a context stands one token: BOS, or else EOS
    too long   tokens go at the left, and are counted; a continuation is never cut. An answer's
               limit is (lm_eval refuses it): down to half of what the model takes, and counted
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from xtune.data.map_fns.base import UnusableRow
from xtune.data.plain_text import PlainText
from xtune.data.templates.dates import tells_the_date
from xtune.data.templates.default_system import default_system_of
from xtune.data.templates.end_of_turn import EndOfTurn
from xtune.data.templates.render import Renderer as TemplateRenderer
from xtune.data.templates.render import own_renderer
from xtune.errors import DataError, TemplateError, UsageError
from xtune.eval.requests import LikelihoodRequest
from xtune.eval.tasks.base import Candidate, Choices, Form, Generation, Prompt
from xtune.generation.requests import GenerationRequest
from xtune.structures import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Renderer"]

logger = logging.getLogger(__name__)

_DAY = "2024-07-26"  # what Llama 3's templates write where no clock is
_PROBE = "xtune_probe_system"
_NOT_THINKING = "{%- set enable_thinking = false -%}\n"  # jinja drops the line break
_THINKS = "<think>"


class Renderer:
    """Writes prompts in one form, and turns them into requests.

    Args:
        tokenizer: the model's; for the chat form it has a chat template.
        form: 'completion' or 'chat'.
        system: a system text before each prompt's description, in the chat form.
        max_length: tokens that the model takes in all; None: no limit.
        multiturn: in the chat form, shots are turns of the dialogue; False: they stand in the one
            message of the user, as in the completion form.
        day: '2024-07-26', for chat templates that write today's date; numbers must not change
            overnight.

    Raises:
        TemplateError: the chat form, and the tokenizer has no chat template.
        UsageError: a system text in the completion form.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        form: Form,
        system: str = "",
        max_length: int | None = None,
        multiturn: bool = True,
        day: str = _DAY,
    ) -> None:
        if form == "completion" and system:
            raise UsageError(
                "a system text has no place in the completion form; ask in the chat form, or leave "
                "it out"
            )
        self.tokenizer = tokenizer
        self.form: Form = form
        self.system = system
        self.max_length = max_length
        self.multiturn = multiturn
        self.day = day
        if form == "chat":
            if not tokenizer.chat_template:
                raise TemplateError(
                    f"the tokenizer of {tokenizer.name_or_path!r} has no chat template, which the "
                    "chat form needs: ask in the completion form, or name a template"
                )
            self._template = _not_thinking(own_renderer(tokenizer), tokenizer, day)
            self._plain = PlainText(tokenizer, self._template.source)
            self.thinking = self._thinking()
        self._prefix: int | None = next(
            (i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id) if i is not None), None
        )

    def choices(self, ask: Choices) -> list[LikelihoodRequest]:
        """Return a request for each candidate, in their order.

        Args:
            ask: of a task.

        Raises:
            DataError: a continuation is empty, or longer than the model takes.
            TemplateError: the chat template refuses a prompt.
            UsageError: a dialogue in the completion form.
        """
        requests: list[LikelihoodRequest] = []
        prompt: Prompt | None = None
        for candidate in ask.candidates:
            if candidate.prompt != prompt:  # candidates mostly share one
                prompt = candidate.prompt
                text = self.text(prompt)
                bare = text.rstrip()
                context = self._ids(bare) if bare else ()
            following = text[len(bare) :] + self._continuation(candidate)
            requests.append(self._request(bare, context, following))
        return requests

    def generation(self, ask: Generation) -> GenerationRequest:
        """Return the request for one answer; its seed is 0.

        Where the model has no room for prompt and answer, tokens go at the prompt's left. But an
        answer that may be longer than half of what the model takes gives way first, down to half.

        Args:
            ask: of a task.

        Raises:
            TemplateError: the chat template refuses the prompt.
            UsageError: a dialogue in the completion form.
        """
        ids = self._ids(self.text(ask.prompt)) or (self._prefix_id,)
        most, kept = ask.max_new_tokens, ids
        if self.max_length is not None:
            most = min(most, max(self.max_length - len(ids), self.max_length // 2))
            kept = ids[-(self.max_length - most) :]
        return GenerationRequest(
            prompt=kept,
            stop=ask.stop,
            max_new_tokens=most,
            temperature=ask.temperature,
            top_p=ask.top_p,
            cut=len(ids) - len(kept),
        )

    def rolling(self, text: str) -> list[LikelihoodRequest]:
        """Return requests that together score each token of a text once.

        The first window is predicted from BOS or else EOS, each later one from the token before
        it; the last one has as much context as there is room for.

        Args:
            text: however long; '' gives no request.
        """
        ids = self._encode(text, special=False)
        if ids[:1] == (self._prefix,):
            ids = ids[1:]
        if not ids:
            return []
        size = self.max_length or len(ids)
        whole = (self._prefix_id, *ids)  # what stands at n + 1 is predicted from all up to n
        requests = []
        for begin in range(0, len(ids), size):
            end = min(begin + size, len(ids))
            first = max(0, end - size)
            requests.append(LikelihoodRequest(whole[first : begin + 1], whole[begin + 1 : end + 1]))
        return requests

    def text(self, prompt: Prompt) -> str:
        """Return the exact text of a prompt, up to where the answer begins.

        Args:
            prompt: of a task; '' for an empty one, in either form.

        Raises:
            TemplateError: the chat template refuses it.
            UsageError: a dialogue in the completion form.
        """
        if prompt == Prompt():
            return ""
        if self.form == "completion":
            if prompt.messages:
                raise UsageError("a dialogue can be asked in the chat form only")
            return prompt.description + _one_text(prompt)
        return self._rendered(self._dialogue(prompt), prompt.tools)

    def settings(self) -> dict[str, Any]:
        """Return what numbers depend on besides the task, as JSON."""
        settings: dict[str, Any] = {"form": self.form, "max_length": self.max_length}
        if self.form == "completion":
            return settings | {
                "shots": "one text",
                "delimiter": "the task's",
                "bos": "tokenizer" if self._encode("a") != self._encode("a", False) else "none",
            }
        return settings | {
            "system": self.system,
            "default_system": default_system_of(self._template),
            "system_place": "user message" if self._folds else "system message",
            "shots": "turns" if self.multiturn else "one message",
            "delimiter": "",
            "bos": "template" if self._writes_bos() else "none",
            "thinking": self.thinking,
            "day": self.day if tells_the_date(self._template.source) else None,
            "template": hashlib.sha256(self._template.source.encode()).hexdigest()[:16],
        }

    # ------------------------------------------------------------------------------------- texts

    def _continuation(self, candidate: Candidate) -> str:
        parted = self.form == "completion" and candidate.prompt != Prompt()
        text = (candidate.prompt.delimiter if parted else "") + candidate.continuation
        return text + self._end if candidate.ended else text

    def _dialogue(self, prompt: Prompt) -> list[Message]:
        # With the description's blank lines at the end, as lm_eval has them: they are tokens
        system = "\n\n".join(filter(None, (self.system, prompt.description)))
        if prompt.messages:
            dialogue = list(prompt.messages)
            if dialogue[0]["role"] == "system" and dialogue[0]["content"]:
                system = "\n\n".join(filter(None, (system, dialogue.pop(0)["content"])))
        elif self.multiturn:
            dialogue = []
            for shot in prompt.shots:
                dialogue.append({"role": "user", "content": shot.question})
                dialogue.append({"role": "assistant", "content": shot.answer})
            dialogue.append({"role": "user", "content": prompt.question})
        else:
            dialogue = [{"role": "user", "content": _one_text(prompt)}]
        if not system:
            return dialogue
        if not self._folds:
            return [{"role": "system", "content": system}, *dialogue]
        at = next((n for n, m in enumerate(dialogue) if m["role"] == "user"), None)
        if at is None:
            return [{"role": "user", "content": system.rstrip()}, *dialogue]
        first = dialogue[at]
        dialogue[at] = {**first, "content": f"{system.rstrip()}\n\n{first['content']}"}
        return dialogue

    def _rendered(self, dialogue: Sequence[Message], tools: Sequence[Any] = ()) -> str:
        try:
            return self._template(self._plain(dialogue), list(tools), add_generation_prompt=True)
        except UnusableRow as error:
            roles = " ".join(message["role"] for message in dialogue)
            raise TemplateError(
                f"the chat template refuses this prompt (roles: {roles}): "
                f"{error.__cause__ or error}"
            ) from error

    @cached_property
    def _end(self) -> str:
        """What ends an answer, as a training would have it; '' in the completion form."""
        if self.form == "completion":
            return ""
        return EndOfTurn(self._template, self.tokenizer).text

    @cached_property
    def _folds(self) -> bool:
        """Whether the template refuses or drops a system text, which then goes to the user."""
        asked: Message = {"role": "user", "content": "?"}
        given: Message = {"role": "system", "content": _PROBE}
        try:
            folds = _PROBE not in self._template([given, asked], None, add_generation_prompt=True)
        except UnusableRow:
            folds = True
        if folds:
            logger.warning(
                "the chat template has no place for a system text: it stands at the head of the "
                "first user message"
            )
        return folds

    def _thinking(self) -> str:
        """Whether answers begin with thoughts, before which no option can be scored."""
        if "enable_thinking" in self._template.source.removeprefix(_NOT_THINKING):
            return "off"
        try:
            opening = self._rendered([{"role": "user", "content": "?"}])
        except TemplateError:
            return "none"
        if not opening.rstrip().endswith(_THINKS):
            return "none"
        logger.warning(
            "the chat template opens each answer with %s and has no switch for it: options are "
            "scored where the model begins to think, which says little. Score by generation",
            _THINKS,
        )
        return "on"

    def _writes_bos(self) -> bool:
        bos = self.tokenizer.bos_token
        return bool(bos) and self._rendered([{"role": "user", "content": "?"}]).startswith(str(bos))

    # ---------------------------------------------------------------------------------- token ids

    @property
    def _prefix_id(self) -> int:
        if self._prefix is None:
            raise TemplateError(
                f"the tokenizer of {self.tokenizer.name_or_path!r} has neither a BOS nor an EOS "
                "token, from which the first token of a text could be predicted"
            )
        return self._prefix

    def _ids(self, text: str) -> tuple[int, ...]:
        """Encode a prompt; the tokenizer adds what it adds, unless the text has it already."""
        bos = self.tokenizer.bos_token
        has_its_own = self.form == "chat" or bool(bos and text.startswith(str(bos)))
        return self._encode(text, special=not has_its_own)

    def _encode(self, text: str, special: bool = True) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=special, verbose=False))

    def _request(self, bare: str, context: tuple[int, ...], continuation: str) -> LikelihoodRequest:
        """Split the ids of a text and its continuation, and cut them at the left.

        Args:
            bare: the prompt, without blanks at its end.
            context: its ids.
            continuation: what follows it, with these blanks.
        """
        if not bare:
            following = self._encode(continuation, special=False)
            if following[:1] == (self._prefix,):
                context, following = following[:1], following[1:]
        elif continuation:
            whole = self._ids(bare + continuation)
            if len(context) >= len(whole):  # the two became fewer tokens than the first had
                context = whole[:-1]
            following = whole[len(context) :]
        else:
            following = ()
        if not following:
            raise DataError(f"there is nothing to score after {bare[-60:]!r}: no token follows it")
        context = context or (self._prefix_id,)
        if self.max_length is None:
            return LikelihoodRequest(context, following)
        if len(following) > self.max_length:
            raise DataError(
                f"a continuation of {len(following)} tokens is longer than the model takes, "
                f"{self.max_length}, and is not cut: {continuation[:60]!r}"
            )
        cut = max(0, len(context) + len(following) - self.max_length - 1)
        return LikelihoodRequest(context[cut:], following, cut)


def _one_text(prompt: Prompt) -> str:
    """Shots and question, one after the other."""
    shots = [f"{s.question}{prompt.delimiter}{s.answer}{prompt.between}" for s in prompt.shots]
    return "".join(shots) + prompt.question


def _not_thinking(
    own: TemplateRenderer, tokenizer: PreTrainedTokenizerBase, day: str
) -> TemplateRenderer:
    """The template with thinking switched off where it has the switch, and a day of its own."""

    def off(jinja: str) -> str:
        return _NOT_THINKING + jinja if "enable_thinking" in jinja else jinja

    tool_use = None if own.tool_use is None else off(own.tool_use)
    return TemplateRenderer(off(own.jinja), tokenizer, tool_use=tool_use, day=day)
