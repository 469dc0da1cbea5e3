"""A whole algorithm: a head next to the model, a frozen second model, a loss of pairs, two metrics.

Documents 2i and 2i + 1 of a batch are a pair, the first the better one. A document's value is how
much likelier it is to the model than to the reference, and what the head sees in it:

    value   = sum over its tokens of   log p(token) - log p_ref(token) + score(hidden state)
    margin  = beta (value of the first - value of the second)
    loss    = -log sigmoid(margin)

Shapes: T tokens, D width, S documents.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from xtune.models import Algorithm, Backbone, ModelPart
from xtune.parallel.slices import BatchSlice, sum_by_document
from xtune.structures import Batch

__all__ = ["PreferredAnswers", "ScoredPairs", "toy_option"]


class ScoredPairs(Algorithm):
    """Trains a language model and a head on which of two documents is better.

    Args:
        llm: the model that is trained.
        ref: the one that it is held against.
        adapter: a PEFT config to attach to `llm`; without one all its weights are trained.
        beta: how much a difference of values counts.
        layers: gradient_checkpointing and activation_offload, as `Backbone` takes them.
    """

    def __init__(self, llm, *, ref, adapter=None, beta=0.1, **layers):
        super().__init__()
        self._policy = Backbone(llm, adapter=adapter, **layers)
        self._reference = Backbone(ref, frozen=True)
        self.llm, self.ref = self._policy.model, self._reference.model
        base = self._policy.base
        self.score = nn.Linear(base.config.get_text_config().hidden_size, 1, device=base.device)
        self.beta = beta

    def forward(self, batch: Batch, *, normalizer: float) -> dict[str, Tensor]:
        hidden = self._policy.hidden_states(batch)[0]  # [T, D]
        own = self._policy.head.log_probs(hidden, batch.labels[0], chunk_size=16)
        other = self._reference.log_probs(batch, chunk_size=16)
        scores = self.score(hidden.to(self.score.weight.dtype))[:, 0].float()
        values = sum_by_document(own - other + scores, batch)  # [S]
        pairs = values[: len(values) // 2 * 2].view(-1, 2)  # a document too many has no pair
        margins = self.beta * (pairs[:, 0] - pairs[:, 1])
        # All who share a row have the sums of the whole, and each returns its share
        sharing = batch.group.size if isinstance(batch, BatchSlice) else 1
        share = (0.0 if batch.is_filler else 1.0) / (normalizer * sharing)
        return {
            "loss": -logsigmoid(margins).sum() * share,
            "accuracy": (margins > 0).float().sum() * share,
            "margin": margins.detach().sum() * share,
        }

    def weight(self, batch: Batch) -> float:
        return float((len(batch.cu_seqlens) - 1) // 2)

    def parts(self) -> dict[str, ModelPart]:
        return {
            "llm": ModelPart(self.llm, saved_as="model"),
            "score": ModelPart(self.score, saved_as="weights"),
            "ref": ModelPart(self.ref, saved_as=None),
        }

    def backbones(self) -> list[Backbone]:
        return [self._policy, self._reference]

    def example(self, lengths, *, trained):
        halves = [half for length in lengths for half in (length - length // 2, length // 2)]
        return super().example(halves, trained=trained)


class PreferredAnswers(ScoredPairs):
    """The same on pairs of answers, which a data set of preferences makes of its rows."""

    learns_from = "pairs"


def toy_option(ref: Path, algorithm: type[ScoredPairs] = ScoredPairs) -> str:
    """The option that makes a shipped config train this, against the model in the folder `ref`."""
    other = {"type": "CausalLM", "pretrained_model_name_or_path": str(ref)}
    named = f"{Path(__file__).resolve()}:{algorithm.__name__}"
    return f"algorithm={ {'type': named, 'ref': other}!r}"
