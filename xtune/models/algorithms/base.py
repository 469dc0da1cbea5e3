"""The contract between an algorithm and everything that trains, measures or saves it.

Nobody else knows what an algorithm is made of: they ask.

    forward     the loss of a micro-batch, and whatever else is to be measured, as shares of a sum
    weight      what a micro-batch counts in the sum that a step is divided by
    survey      what it must know of a whole step before the first of its micro-batches
    parts       name -> module: what is trained, what is frozen, and where each is saved
    backbones   the language models that it runs on batches, trained or not
    example     a batch as it trains on, to be traced before there are data
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import torch
from torch import Tensor, nn

from xtune.errors import ModelError
from xtune.models.algorithms.backbone import Backbone
from xtune.parallel.sequence import UNSHARED, SequenceGroup
from xtune.parallel.world import ALONE, World
from xtune.structures import IGNORE_INDEX, Batch

if TYPE_CHECKING:
    from xtune.models.algorithms.alarms import Alarms

__all__ = ["Algorithm", "ModelPart", "Peers"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ModelPart:
    """One of the modules that an algorithm is made of, and where a checkpoint has its weights.

    Attributes:
        module: the algorithm's attribute of the part's name.
        saved_as: 'model': the language model that comes out of the run. It is in `model/` in
            Hugging Face's format, or its adapter is in `adapter/` in PEFT's. One part is that.
            'weights': in `<name>/weights.safetensors`, under the module's own names.
            None: in no file. It is frozen, and is built again from the sheet.
    """

    module: nn.Module
    saved_as: Literal["model", "weights"] | None

    def __post_init__(self) -> None:
        if self.saved_as not in ("model", "weights", None):
            raise ModelError(
                f"a part is saved_as='model', 'weights' or None (in no file), not {self.saved_as!r}"
            )

    @property
    def is_trained(self) -> bool:
        """Whether a gradient goes to any of its weights."""
        return any(parameter.requires_grad for parameter in self.module.parameters())


@dataclass(frozen=True, slots=True)
class Peers:
    """The processes that do a step together, as one of them sees them.

    Attributes:
        world: all of them.
        sequence: those that share each row with this one.
        device: where this one computes.
        apart: `Strategy.run_apart`: calls a function that runs the model, without gradients; all
            processes call it, each as often.
    """

    world: World = ALONE
    sequence: SequenceGroup = UNSHARED
    device: torch.device | str = "cpu"
    apart: Callable[[Callable[[], T]], T] = lambda function: function()


class Algorithm(nn.Module, ABC):
    """A loss, and the modules that it trains.

    A new one derives from this and is registered in MODELS; a sheet's `model` names it. Before the
    first step a run tries it out on its `example`, whole and in halves: what does not add up is
    refused.

    Attributes:
        learns_from: which groups it takes of what a data set makes of its rows: 'dialogues' or
            'pairs'; a data set that makes others is refused before its rows are read.
        trains_scores: its language model has a head of one number, a sheet's
            `llm=dict(type='SequenceClassifier', …)`: what comes out scores answers and writes none.
        has_dropout: dropout acts while it trains, LoRA's too. Where two passes are compared, or two
            texts, it must not.
        shares_base: several of its models have the same frozen weights in memory, so that no
            strategy can divide them.
        first_loss: what the loss of a run's first step is if all is as it should be; None where
            nobody knows. Another one is reported.
        surveyed: what `survey` has found of the step, summed over all processes.
        alarms: what looks at each step's numbers and says what goes wrong; None: nothing does.
    """

    learns_from: ClassVar[str] = "dialogues"
    trains_scores: ClassVar[bool] = False
    has_dropout: ClassVar[bool] = True
    shares_base: bool = False
    first_loss: float | None = None
    surveyed: Mapping[str, float] = MappingProxyType({})
    alarms: Alarms | None = None

    @abstractmethod
    def forward(self, batch: Batch, *, normalizer: float) -> dict[str, Tensor]:
        """Compute the loss of one micro-batch.

        Every value is a **share of a sum**: whoever runs a step adds them up over its micro-batches
        and over all processes, and the sum is logged. So a mean over pairs is the sum over
        this batch's pairs / `normalizer`, and never `.mean()`, which would come out multiplied by
        the number of micro-batches. Where processes share a row (`BatchSlice`), what all of a
        group compute alike is divided by `group.size` besides; see `share_of_step`.

        Args:
            batch: documents end to end, labels already shifted. It may be a filler, of which
                nothing counts; all that is trained must have a gradient of it all the same.
            normalizer: the sum of `weight` over all micro-batches and processes of the step, so
                that any split of the same data gives the same gradient.

        Returns:
            `loss`, an fp32 scalar with a gradient, and further scalars by the names that they have
            in metrics.jsonl.
        """

    @abstractmethod
    def weight(self, batch: Batch) -> float:
        """Return what a micro-batch counts in `normalizer`: its trained tokens, pairs, answers.

        Args:
            batch: whole, on the CPU; never a slice or a filler.
        """

    def survey(self, batches: Sequence[Batch], peers: Peers) -> dict[str, float]:
        """Return what `forward` must know of a whole step: a count of something, a sum.

        Whoever runs the step calls it before the first `forward`, adds the numbers up over all
        processes, and sets `surveyed`. So a term with a mean of its own, over tokens where the step
        is one over pairs, is as independent of the split as the others.

        Args:
            batches: this process's micro-batches, on the CPU: whole, without fillers; of those that
                share a row one process has them, and the others none.
            peers: who does the step, for what is no sum; all of them call this.
        """
        return {}

    @classmethod
    def require_settings(cls, settings: Mapping[str, Any]) -> None:
        """Refuse settings that contradict each other, as `xtune check` does, before any weights.

        Args:
            settings: a sheet's `model`.

        Raises:
            ConfigError: says what to change.
        """

    @classmethod
    def asks_of_data(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the vectors of documents without which nothing can be computed.

        Args:
            settings: a sheet's `model`.
        """
        return ()

    @abstractmethod
    def parts(self) -> Mapping[str, ModelPart]:
        """Return every module with weights, by the name of the attribute that it is."""

    @abstractmethod
    def backbones(self) -> Sequence[Backbone]:
        """Return the language models that are run on batches, the one that is trained first."""

    def example(self, lengths: Sequence[int], *, trained: int) -> Batch:
        """Return a batch of such documents, without meaning, that `forward` takes.

        Args:
            lengths: tokens of each document, in sum those of a full micro-batch. An algorithm of
                pairs makes two of each.
            trained: how many of all tokens have a label.
        """
        # No two neighbours begin alike: what they shared would be computed once
        documents = [torch.full((length,), number % 2) for number, length in enumerate(lengths)]
        row = torch.cat(documents)[None]
        labels = torch.full_like(row, IGNORE_INDEX)
        labels[:, : max(1, trained)] = 0
        return Batch(
            input_ids=row,
            position_ids=torch.cat([torch.arange(length) for length in lengths])[None],
            labels=labels,
            cu_seqlens=torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32),
            max_seqlen=max(lengths),
        )

    def summary(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Return what is logged of the sums of a step, or of the validation data.

        What is no sum is made here: a standard deviation of the sums of numbers and squares.

        Args:
            sums: by the names that `forward` returns, over all micro-batches and processes.
        """
        return dict(sums)

    def notes(self) -> dict[str, Any]:
        """Return what whoever uses the model that comes out must know: fields of xtune.json."""
        return {}

    @property
    def main(self) -> str:
        """Name of the part that is the language model that comes out of the run."""
        return next(name for name, part in self.parts().items() if part.saved_as == "model")

    @property
    def language_model(self) -> Any:
        """The model that comes out of the run, and answers meanwhile; a PeftModel if adapted."""
        return self.parts()[self.main].module

    @property
    def has_adapter(self) -> bool:
        """Whether it is an adapter of that model that is trained, and not all its weights."""
        return hasattr(self.language_model, "peft_config")

    def train(self, mode: bool = True) -> Algorithm:
        """Switch to training; a part that is not trained has no dropout and stays as it is."""
        super().train(mode)
        for part in self.parts().values():
            if not part.is_trained:
                part.module.eval()
        if not self.has_dropout:
            for module in self.modules():
                if isinstance(module, nn.Dropout):
                    module.eval()
        return self
