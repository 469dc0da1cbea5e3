"""A dialogue with its history: what is kept, what goes when it no longer fits, what is saved."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtune.data.map_fns.dialogue import checked_messages
from xtune.errors import DataError, UsageError
from xtune.structures import Message

if TYPE_CHECKING:
    from xtune.generation.answer import Answer
    from xtune.generation.model import ChatModel
    from xtune.generation.settings import GenerationSettings

__all__ = ["ChatSession", "drop_oldest_turns"]

_ROLES = ("system", "user", "assistant", "tool")


class ChatSession:
    """A dialogue that goes on.

    Args:
        model: who answers.
        settings: how.
        system: the system prompt; '' for none.
        notice: told, in a sentence, what happens to the history.

    Attributes:
        system: the system prompt; setting it keeps the dialogue.
        no_system: where `system` is '', the chat template shall not write one of its own either.
        history: user and assistant messages, oldest first.
    """

    def __init__(
        self,
        model: ChatModel,
        *,
        settings: GenerationSettings,
        system: str = "",
        notice: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.system = system
        self.no_system = False
        self.history: list[Message] = []
        self._model = model
        self._settings = settings
        self._notice = notice
        self.saved_to = ""  # the file that /save may write again

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The tools that the model's chat template is given, in OpenAI's form; here none."""
        return []

    @property
    def default_system(self) -> str:
        """The system text that the chat template writes where there is none; '' if none."""
        return self._model.default_system

    @property
    def messages(self) -> list[Message]:
        """The dialogue, the system prompt first."""
        none = self.no_system and bool(self.default_system)
        first: list[Message] = [{"role": "system", "content": self.system}]
        return (first if self.system or none else []) + self.history

    def ask(self, text: str, on_text: Callable[[str], None]) -> Answer:
        """Put a message to the model.

        An answer that was interrupted stays in the history as far as it came, unless it is empty:
        then the question goes too, as it does when this raises.

        Args:
            text: the user's message.
            on_text: is given each piece of the answer.

        Raises:
            UsageError: the message alone fills the context.
            TemplateError: the chat template refuses the dialogue.
        """
        before = list(self.history)
        self.history.append({"role": "user", "content": text})
        try:
            self._make_room()
            answer = self._model.stream(self.messages, on_text, settings=self._settings)
        except BaseException:
            self.history = before
            raise
        if answer.ended_by == "interrupt" and not answer.text:
            self.history = before
        else:
            self.history.append({"role": "assistant", "content": answer.text})
        return answer

    def undo(self) -> str | None:
        """Take back the last message and all that followed it; return it, or None if none is."""
        asked = [at for at, message in enumerate(self.history) if _asks(message)]
        if not asked:
            return None
        text = str(self.history[asked[-1]]["content"])
        self.history = self.history[: asked[-1]]
        return text

    def reset(self) -> None:
        """Forget the dialogue; the system prompt stays."""
        self.history = []

    def save(self, path: str | Path) -> None:
        """Write the dialogue as one row of training data: `{"messages": [...], "tools": [...]}`.

        `tools` stand there only if the model's chat template is given some.

        Raises:
            OSError: it cannot be written.
        """
        row = {"messages": self.messages} | ({"tools": self.tools} if self.tools else {})
        text = json.dumps(row, ensure_ascii=False, indent=2)
        Path(path).expanduser().write_text(text + "\n", encoding="utf-8")
        self.saved_to = str(path)

    def load(self, path: str | Path) -> None:
        """Go on with a saved dialogue, system prompt included.

        Raises:
            OSError: it cannot be read.
            DataError: it is no saved dialogue.
        """
        try:
            messages = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))["messages"]
            plain = list(map(_loaded, messages))
        except (ValueError, KeyError, TypeError, DataError) as error:
            raise DataError(
                f'{path} is no dialogue, {{"messages": [{{"role": ..., "content": ...}}]}}: '
                f"{type(error).__name__} {error}"
            ) from error
        for message in plain:
            if message["role"] not in _ROLES or not isinstance(message["content"], str):
                raise DataError(f"{path}: not a message of {', '.join(_ROLES)}: {message}")
        self.saved_to = str(path)
        has_system = bool(plain) and plain[0]["role"] == "system"
        self.system = plain[0]["content"] if has_system else ""
        self.no_system = has_system and not self.system
        self.history = plain[1:] if has_system else plain

    def _make_room(self) -> None:
        context = self._model.context
        if context is None:
            return
        # A quarter of the context at most is kept free: a long `max_new_tokens` must not push
        # out a history that is short.
        room = min(self._settings.max_new_tokens, context // 4)
        kept, dropped = drop_oldest_turns(
            self.messages, lambda messages: self._count(messages) + room <= context
        )
        tokens = self._count(kept)
        if tokens >= context:
            raise UsageError(
                f"this message makes a prompt of {tokens} tokens and the model's context is "
                f"{context}: shorten it"
            )
        if dropped:
            turns = "turn" if dropped == 1 else f"{dropped} turns"
            self._notice(f"the context of {context} tokens is full: forgot the oldest {turns}")
            self.history = kept[1:] if kept[0]["role"] == "system" else kept

    def _count(self, messages: Sequence[Message]) -> int:
        return self._model.count_tokens(messages)


def _loaded(raw: Any) -> Message:
    """A message of a saved dialogue; of a tool's, and of a call, what belongs to it."""
    message = Message(role=raw["role"], content=raw["content"])
    for key in ("name", "tool_call_id", "reasoning_content"):
        if isinstance(raw.get(key), str):
            message[key] = raw[key]
    if raw["role"] == "assistant" and raw.get("tool_calls"):
        message["tool_calls"] = checked_messages([raw])[0]["tool_calls"]
    return message


def drop_oldest_turns(
    messages: Sequence[Message], fits: Callable[[Sequence[Message]], bool]
) -> tuple[list[Message], int]:
    """Drop whole turns from the front until the rest fits; the last turn always stays.

    A turn is a user message and all that follows it up to the next. What stands before the first
    user message, the system prompt, stays. A user message with a `name` is a tool's result, where
    the chat template has no other place for it, and begins no turn.

    Args:
        messages: the dialogue, ending with the message to be answered.
        fits: whether a dialogue leaves room for the answer.

    Returns:
        The messages kept, and how many turns went.
    """
    starts = [at for at, message in enumerate(messages) if _asks(message)]
    head = list(messages[: starts[0]])
    for dropped, start in enumerate(starts):
        kept = head + list(messages[start:])
        if start == starts[-1] or fits(kept):
            return kept, dropped
    raise AssertionError("the last turn has been returned")


def _asks(message: Message) -> bool:
    return message["role"] == "user" and "name" not in message
