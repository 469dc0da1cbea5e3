"""The nouns of the data's way: Message, Conversation, Span, Sample, Batch.

    row --map_fn--> Conversation --template--> [Span] --tokenize--> Sample --pack+collate--> Batch

Shapes: T tokens of a micro-batch, S documents in it, L tokens of one sample.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Required, TypedDict

from xtune.vectors import PerDocument, PerToken, require_declared

if TYPE_CHECKING:  # `xtune --help` must not import torch
    import numpy as np
    from torch import Tensor

__all__ = [
    "IGNORE_INDEX",
    "Batch",
    "Conversation",
    "Message",
    "Preference",
    "Prompt",
    "Ranking",
    "Sample",
    "Span",
    "UnpairedPreference",
]

IGNORE_INDEX = -100  # torch's cross-entropy skips labels of this value


class Message(TypedDict, total=False):
    """One message of a dialogue.

    `role` is system, user, assistant or tool; a system message may stand anywhere. `loss` says
    whether an assistant message is trained (default: yes), `weight` how much its tokens count in
    the loss (default: 1); both mean nothing on other roles.
    """

    role: Required[str]
    content: Required[str]
    reasoning_content: str
    tool_calls: list[dict[str, Any]]
    tool_call_id: str
    name: str
    loss: bool
    weight: float


class Conversation(TypedDict, total=False):
    """What a map_fn returns: a dialogue in `messages`, plain `text`, or tokens in `input_ids`.

    With `train_on_inputs` a dialogue is trained from its beginning to its last answer's end.
    `trained` says of each of the `input_ids` whether it is; text is trained whole.
    """

    messages: list[Message]
    tools: list[dict[str, Any]]
    train_on_inputs: bool
    text: str
    input_ids: list[int]
    trained: list[bool]


class Prompt(TypedDict, total=False):
    """What a map_fn returns for data without answers, which a model is to give itself."""

    prompt: Required[list[Message]]
    tools: list[dict[str, Any]]


class Preference(Prompt, total=False):
    """What a map_fn returns for a pair: after `prompt`, `chosen` is better than `rejected`.

    The three are parts of two dialogues, prompt + chosen and prompt + rejected; each of the last
    two ends with an assistant message. `margin` says by how much the chosen one is better, 0 or
    more; `soft_label` how probable it is that it is, from 0.5, where both are equally good, to 1;
    `safe` whether the chosen one is, and the rejected one. `source` names where the pair
    comes from, and `form` how the prompt was found where rows of a format write it in several ways:
    reports count by both.
    """

    chosen: Required[list[Message]]
    rejected: Required[list[Message]]
    margin: float
    soft_label: float
    safe: list[bool]
    source: str
    form: str


class Ranking(Prompt, total=False):
    """What a map_fn returns for several answers to one prompt, the best first.

    Each of `answers` ends with an assistant message. `ranks` are their places, 0 the best: answers
    of equal rank are equally good; without them each is better than the next. `scores` say what
    each is worth, in the data's own measure, none more than the one before it; without `ranks`
    equal scores are equal ranks. `source` as in Preference.
    """

    answers: Required[list[list[Message]]]
    ranks: list[int]
    scores: list[float]
    source: str


class UnpairedPreference(Prompt, total=False):
    """What a map_fn returns for one answer that somebody has judged: `label` is true if it is good.

    `completion` ends with an assistant message. `source` as in Preference.
    """

    completion: Required[list[Message]]
    label: Required[bool]
    source: str


class Span(NamedTuple):
    """A stretch of rendered text, and whether the model is trained to write it.

    `weights` are (characters, weight) of its parts, from the first to the last; where there are
    none, each of its tokens counts once.
    """

    text: str
    trained: bool
    weights: tuple[tuple[int, float], ...] = ()


@dataclass(slots=True)
class Sample:
    """One tokenised document.

    Attributes:
        input_ids: int32 [L].
        labels: int32 [L], not shifted: `input_ids` where trained, else -100.
        per_token: [L] each, by names that vectors.py declares.
        per_document: one number each, by such names.
    """

    input_ids: np.ndarray
    labels: np.ndarray
    per_token: dict[str, np.ndarray] = field(default_factory=dict)
    per_document: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_declared(self.per_token, self.per_document)
        self.per_token = PerToken.of(self.per_token)
        self.per_document = PerDocument.of(self.per_document)

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def weights(self) -> np.ndarray | None:
        """How much each label counts in the loss, float32 [L]; None: each counts once."""
        return self.per_token.get("weights")

    def part(self, place: slice) -> Sample:
        """Return the tokens of a place, with what belongs to them."""
        per_token = {name: values[place] for name, values in self.per_token.items()}
        return replace(
            self,
            input_ids=self.input_ids[place],
            labels=self.labels[place],
            per_token=per_token,
        )


@dataclass(slots=True)
class Batch:
    """Several documents end to end in one row: no padding, whatever the algorithm.

        input_ids     [[a0 a1 a2 b0 b1]]       cu_seqlens  [0 3 5]
        position_ids  [[ 0  1  2  0  1]]       max_seqlen  3
        labels        [[a1 a2  . b1  .]]       '.' is -100: no label reaches over a boundary

    Attributes:
        input_ids: int64 [1, T].
        position_ids: int64 [1, T]; restarts at 0 at each document.
        labels: int64 [1, T]; already shifted: the token after this position if it is trained.
        cu_seqlens: int32 [S + 1]; where documents begin, and T.
        max_seqlen: tokens of the longest document.
        samples: the data set's index of each document, for reports.
        is_filler: whether it stands for a micro-batch that this process lacks: it is run, so that
            all processes do the same, and nothing of it is trained or counted. An algorithm whose
            loss without labels is not 0 must say so itself.
        per_token: [1, T] each, by names that vectors.py declares: that of a label stands where the
            label does.
        per_document: [S] each, by such names.
    """

    input_ids: Tensor
    position_ids: Tensor
    labels: Tensor
    cu_seqlens: Tensor
    max_seqlen: int
    samples: tuple[int, ...] = ()
    is_filler: bool = False
    per_token: dict[str, Tensor] = field(default_factory=dict)
    per_document: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_declared(self.per_token, self.per_document)
        self.per_token = PerToken.of(self.per_token)
        self.per_document = PerDocument.of(self.per_document)

    @property
    def tokens(self) -> int:
        """T, all tokens."""
        return self.input_ids.shape[1]

    @property
    def trained_tokens(self) -> int:
        """How many positions have a label. Copies one number from the device if it is there."""
        return int((self.labels != IGNORE_INDEX).sum())

    @property
    def weights(self) -> Tensor | None:
        """How much each label counts in the loss, fp32 [1, T]; None: each counts once."""
        return self.per_token.get("weights")

    @property
    def trained_weight(self) -> float:
        """What its labels count in the loss: `trained_tokens`, unless they have weights."""
        if self.weights is None:
            return self.trained_tokens
        return float(self.weights.double()[self.labels != IGNORE_INDEX].sum())

    def to(self, device: Any) -> Batch:
        """Return the same batch with its tensors on `device`."""

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        return replace(
            self,
            input_ids=moved(self.input_ids),
            position_ids=moved(self.position_ids),
            labels=moved(self.labels),
            cu_seqlens=moved(self.cu_seqlens),
            per_token={name: moved(values) for name, values in self.per_token.items()},
            per_document={name: moved(values) for name, values in self.per_document.items()},
        )
