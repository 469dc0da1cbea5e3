"""`Task`: questions, what a model is asked about each, and what its answer is worth.

    files  --items()-->  Item  --ask(item, form)-->  Ask  --the model-->  Response
                                                          --score(item, response)-->  Score

A task knows no model and no tokenizer: it says what to ask as a `Prompt`, which
`xtune.eval.prompts` renders in the form that the model reads, and it is given log-probabilities
or texts. What was answered is stored apart from what it is worth, so that a rule of scoring may
change without asking again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from xtune.generation.requests import Text
from xtune.structures import Message

__all__ = [
    "Ask",
    "Candidate",
    "Choices",
    "Form",
    "Generation",
    "Item",
    "Likelihood",
    "Likelihoods",
    "Prompt",
    "Response",
    "Rolling",
    "RollingLikelihood",
    "Score",
    "Shot",
    "Task",
    "Text",
    "Texts",
]

Form = Literal["completion", "chat"]


@dataclass(frozen=True, slots=True)
class Shot:
    """A question that is shown with its answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Prompt:
    r"""What is asked, in no model's form yet.

        completion   description question delimiter answer between ... question
        chat         description as the system text; each shot a user's turn and an answer; question

    Attributes:
        question: with the cue of the answer at its end, as 'Answer:'.
        description: what stands before everything, with the blank lines that part it.
        shots: in the order in which they are shown.
        between: what parts shots in the completion form.
        delimiter: what parts a question from its answer in the completion form; the chat form
            has nothing there.
        messages: a whole dialogue instead of all this, as tool calls need it; chat form only.
        tools: what the model may call in that dialogue, in OpenAI's form.
    """

    question: str = ""
    description: str = ""
    shots: tuple[Shot, ...] = ()
    between: str = "\n\n"
    delimiter: str = " "
    messages: tuple[Message, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A continuation whose probability after a prompt is wanted.

    Attributes:
        prompt: an empty one scores the continuation as a whole text.
        continuation: without the delimiter, which the form puts before it.
        ended: it is a whole answer, and what ends the turn is scored with it; chat form only.
    """

    prompt: Prompt
    continuation: str
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Choices:
    """Ask for the log-probability of each candidate; answered by `Likelihoods`."""

    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Generation:
    """Ask for answers in the model's own words; answered by `Texts`.

    Attributes:
        prompt: what is asked.
        stop: strings that end an answer, besides the model's own end tokens.
        max_new_tokens: of an answer.
        samples: how many answers.
        temperature: 0: the likeliest token each time, and then one sample.
        top_p: sample among the likeliest tokens that together have this probability.
    """

    prompt: Prompt
    stop: tuple[str, ...] = ()
    max_new_tokens: int = 256
    samples: int = 1
    temperature: float = 0.0
    top_p: float = 1.0


@dataclass(frozen=True, slots=True)
class Rolling:
    """Ask how likely a whole text is, however long; answered by `RollingLikelihood`."""

    text: str


Ask = Choices | Generation | Rolling


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How likely a continuation is.

    Attributes:
        log_prob: the sum over its tokens, in nats.
        greedy: each of its tokens was the likeliest.
        tokens: how many it has.
    """

    log_prob: float
    greedy: bool
    tokens: int


@dataclass(frozen=True, slots=True)
class Likelihoods:
    """The answer to `Choices`.

    Attributes:
        candidates: in their order.
        cut: tokens that the longest context lost at its left, to fit the model.
    """

    candidates: tuple[Likelihood, ...]
    cut: int = 0


@dataclass(frozen=True, slots=True)
class Texts:
    """The answer to `Generation`.

    Attributes:
        samples: the answers.
        cut: as for `Likelihoods`.
        room: tokens that each could have, where the model takes fewer than were wanted; else None.
    """

    samples: tuple[Text, ...]
    cut: int = 0
    room: int | None = None


@dataclass(frozen=True, slots=True)
class RollingLikelihood:
    """The answer to `Rolling`: the sum over all tokens, in nats, and how many there are."""

    log_prob: float
    tokens: int


Response = Likelihoods | Texts | RollingLikelihood


@dataclass(frozen=True, slots=True)
class Item:
    """One question of a task.

    Attributes:
        id: which it is, among the task's: the same in each run, 'astronomy/12'.
        question: as a reader of the results sees it.
        gold: what is right, a JSON value: an option's index, the indices of several, a text, texts.
        options: to choose from; none for free answers.
        group: the subject or kind that it counts for, '' if the task has none.
        where: it was read, 'test/astronomy_test.csv:12'.
        shots: shown before it.
        fields: further fields of the row, for the task.
    """

    id: str
    question: str
    gold: Any
    options: tuple[str, ...] = ()
    group: str = ""
    where: str = ""
    shots: tuple[Shot, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Score:
    """What an answer is worth.

    Attributes:
        metrics: by name; 0 or 1 for wrong or right. A metric that an item does not have is left
            out: means are over the items that have it.
        got: the answer as a reader sees it: the option chosen, the extracted value.
        expected: the right one, likewise.
        unanswered: nothing could be read from the answer; it counts as wrong and is reported apart.
        margin: how much likelier the best option is than the second, in nats (or by the measure
            that decides); None where nothing like it exists. Near-ties are counted by it.
        notes: further values for the item's row, JSON: `letter_mass`, what a program printed.
    """

    metrics: Mapping[str, float]
    got: str
    expected: str
    unanswered: bool = False
    margin: float | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


class Task(ABC):
    """A benchmark, or questions of the user's own; see the module.

    A subclass is registered in EVALUATIONS under its class's name, which configs use, and has a
    `name`, which the command line uses. Its constructor takes keyword arguments alone, `data_path`
    and `shots` among them where it has such; whatever can be found missing is found there.

        @EVALUATIONS.register_module()
        class MMLU(Task):
            name = "mmlu"

    Attributes:
        name: on the command line.
        scoring: 'option_letter', 'option_text', 'whole_ppl', 'exact_match', 'generation',
            'pass_at_k', 'perplexity' or 'judged'.
        headline: the metric that a table shows first.
        ability: the axis of the radar that it counts for; None: none.
        forms: those in which it can be asked, the usual one first.
        lower_is_better: whether less of the headline is better, as of perplexity.
    """

    name: ClassVar[str]
    scoring: ClassVar[str]
    headline: ClassVar[str] = "acc"
    ability: ClassVar[str | None] = None
    forms: ClassVar[tuple[Form, ...]] = ("completion", "chat")
    lower_is_better: ClassVar[bool] = False

    @abstractmethod
    def items(self) -> Sequence[Item]:
        """Return all questions, in an order that is the same each time.

        Raises:
            DataError: a row is damaged; names the file and the line.
        """

    @abstractmethod
    def ask(self, item: Item, form: Form) -> Ask:
        """Return what a model is asked about an item.

        Args:
            item: one of `items()`.
            form: in which it will be asked; most tasks ask the same in both.
        """

    @abstractmethod
    def score(self, item: Item, response: Response) -> Score:
        """Return what an answer is worth.

        Args:
            item: which was asked about.
            response: of the kind that answers what `ask` returned.
        """

    def settings(self) -> dict[str, Any]:
        """Return what else decides the number, as JSON: shots, the prompt's source, the split."""
        return {}

    def chance(self, items: Sequence[Item]) -> float:
        """Return what guessing would get of the headline; 0 unless there are options.

        Args:
            items: the questions, with their options.
        """
        options = [len(item.options) for item in items if item.options]
        return sum(1 / count for count in options) / len(options) if options else 0.0

    def overall(self, items: Sequence[Item], scores: Sequence[Score]) -> dict[str, float]:
        """Return metrics that are no mean over items, as word perplexity or pass@k; often none.

        Args:
            items: the questions.
            scores: their answers' worth, in the same order.
        """
        return {}

    def notices(self, items: Sequence[Item], scores: Sequence[Score]) -> list[str]:
        """Return what a reader must know about the numbers, a sentence each: a partial copy, say.

        Args:
            items: the questions.
            scores: their answers' worth, in the same order.
        """
        return []

    def attachments(self, items: Sequence[Item], scores: Sequence[Score]) -> dict[str, Any]:
        """Return files to write next to the results, JSON values by name: a submission, say.

        Args:
            items: the questions.
            scores: their answers' worth, in the same order.
        """
        return {}
