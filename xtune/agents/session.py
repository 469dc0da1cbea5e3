"""A dialogue with an agent: its history holds calls and results, and is saved with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from xtune.agents.base import Agent, AgentModel, Outcome, Tools, Watcher, ignore
from xtune.chat.session import ChatSession
from xtune.generation.settings import GenerationSettings
from xtune.structures import Message

if TYPE_CHECKING:
    from xtune.generation.model import ChatModel

__all__ = ["AgentSession"]


class AgentSession(ChatSession):
    """A dialogue that goes on, as `ChatSession`; each message is answered by an agent.

    Its files are rows of training data too: the agent's instructions are part of their system
    message, and are taken off again when one is loaded.

    Args:
        agent: who answers.
        model: the agent's, to count tokens.
        tools: its tool box; a new dialogue forgets what tools have kept.
        settings: how answers are sampled.
        system: the system prompt; '' for none.
        notice: told, in a sentence, what happens to the history.
    """

    def __init__(
        self,
        agent: Agent,
        model: AgentModel,
        tools: Tools,
        *,
        settings: GenerationSettings,
        system: str = "",
        notice: Callable[[str], None] = lambda text: None,
    ) -> None:
        # All that the base needs of a model is its context; tokens are counted here
        super().__init__(cast("ChatModel", model), settings=settings, system=system, notice=notice)
        self._agent = agent
        self._agents_model = model
        self._box = tools

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The tools that the model's chat template is given, in OpenAI's form."""
        return self._agent.tools

    @property
    def default_system(self) -> str:
        """Empty: an agent's instructions mostly stand there; a server's template is not seen."""
        return ""

    @property
    def messages(self) -> list[Message]:
        """The dialogue; first the system prompt with the agent's instructions."""
        text = "\n".join(filter(None, (self.system, self._agent.instructions)))
        first: list[Message] = [{"role": "system", "content": text}] if text else []
        return first + self.history

    def pursue(self, text: str, watcher: Watcher = ignore) -> Outcome:
        """Put a message to the agent.

        Where no answer comes of it (an interrupt, too many turns) the message leaves the history.

        Args:
            text: the user's message.
            watcher: is told each step as it comes.

        Raises:
            UsageError: the message, or what its calls gave, fills the context.
            TemplateError: the chat template refuses the dialogue.
            ModelError: the model's server fails.
        """
        before = list(self.history)
        self.history.append({"role": "user", "content": text})
        try:
            self._make_room()
            outcome = self._agent.run(self.messages, watcher)
        except BaseException:
            self.history = before
            raise
        if outcome.ended_by == "answer":
            self.history += outcome.messages
        else:
            self.history = before
        return outcome

    def reset(self) -> None:
        """Forget the dialogue, and what tools have kept; the system prompt stays."""
        super().reset()
        self._box.stop()

    def load(self, path: str | Path) -> None:
        """Go on with a saved dialogue, system prompt included; see `ChatSession.load`."""
        super().load(path)
        self.system = self.system.removesuffix(self._agent.instructions).rstrip()

    def _count(self, messages: Sequence[Message]) -> int:
        return self._agents_model.count_tokens(messages, self.tools)
