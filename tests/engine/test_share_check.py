"""An algorithm is tried out before the first step: what does not add up is refused, by its name."""

from __future__ import annotations

import pytest
import torch

from tests.runs import losses, metrics, sheet_of, train
from xtune.engine.runner import Runner
from xtune.errors import DataError, ModelError, XtuneError
from xtune.models import SupervisedFinetune
from xtune.vectors import Vector, declare

STEP = ["max_steps=1", "accumulative_counts=2"]


class Mean(SupervisedFinetune):
    """The mean over the batch, as most losses are written."""

    def forward(self, batch, *, normalizer):
        return super().forward(batch, normalizer=self.weight(batch))


class MeanOfMeans(SupervisedFinetune):
    """The mean over the batch / normalizer: too small, and it depends on the split."""

    def forward(self, batch, *, normalizer):
        return super().forward(batch, normalizer=self.weight(batch) * normalizer / 16)


class MeanMetric(SupervisedFinetune):
    """A right loss, and the mean of a metric."""

    def forward(self, batch, *, normalizer):
        known = (batch.labels >= 0).float().mean()
        return {**super().forward(batch, normalizer=normalizer), "known": known}


class NoWeight(SupervisedFinetune):
    def weight(self, batch):
        pass


class NegativeWeight(SupervisedFinetune):
    def weight(self, batch):
        return -1.0


class WeighsNothing(SupervisedFinetune):
    def weight(self, batch):
        return 0


class MeansAndWeighsBatches(SupervisedFinetune):
    """A batch counts one, however much is in it: the same data count two in two batches."""

    def forward(self, batch, *, normalizer):
        whole = (batch.labels >= 0).sum()
        return super().forward(batch, normalizer=normalizer * whole**2 / 32)

    def weight(self, batch):
        return 1


declare(Vector("margin_of_test", "document"))


class AsksForAMargin(SupervisedFinetune):
    def forward(self, batch, *, normalizer):
        batch.per_document["margin_of_test"]


class AsksForWhatNobodyDeclares(SupervisedFinetune):
    def forward(self, batch, *, normalizer):
        batch.per_document["sid"]


class Pairs(SupervisedFinetune):
    """Takes documents by threes, and inherits an example of two and two."""

    def forward(self, batch, *, normalizer):
        batch.cu_seqlens.diff().view(-1, 3)


@pytest.mark.parametrize(
    ("algorithm", "error", "said"),
    [
        ("Mean", ModelError, "Mean.forward returns 'loss' = "),
        ("Mean", ModelError, "with normalizer=32, and the same with 64: a mean, which added up"),
        ("MeanOfMeans", ModelError, "in all for the same in two, so that it depends on how a step"),
        (
            "MeanMetric",
            ModelError,
            "MeanMetric.forward returns 'known' = 1 with normalizer=32, and",
        ),
        ("NoWeight", ModelError, "NoWeight.weight returns None of a micro-batch; it is a number"),
        ("NegativeWeight", ModelError, "NegativeWeight.weight returns -1.0 of a micro-batch"),
        ("WeighsNothing", ModelError, "WeighsNothing.weight returns 0 of every micro-batch of the"),
        ("MeansAndWeighsBatches", ModelError, "here 1 for the one, 2 for the two"),
        ("AsksForAMargin", DataError, "AsksForAMargin.forward ("),
        (
            "AsksForAMargin",
            DataError,
            "asks for per_document['margin_of_test'], which this batch has not; it has none. "
            "Whoever makes the samples gives each its own, a number for each document: "
            "Sample(…, per_document={'margin_of_test': …})",
        ),
        (
            "AsksForWhatNobodyDeclares",
            DataError,
            "asks for per_document['sid'], which this batch has not; it has none. Nothing declares "
            "it; did you mean 'side'? Declare it (xtune.vectors.declare)",
        ),
        (
            "Pairs",
            ModelError,
            "Pairs.forward cannot run what Pairs.example returns: shape '[-1, 3]'",
        ),
    ],
)
def test_what_breaks_the_contract_is_refused_before_the_first_step(
    inputs, tmp_path, algorithm, error, said
):
    sheet = sheet_of(inputs, *STEP, f"model.type={__file__}:{algorithm}")
    with pytest.raises(XtuneError) as caught:
        Runner(sheet, work_dir=tmp_path).train()
    assert said in str(caught.value)
    assert isinstance(caught.value, error)
    assert not (tmp_path / "metrics.jsonl").exists()


class Counts(SupervisedFinetune):
    """Counts its forward passes, and says of each how it was run."""

    def __init__(self, llm, **settings):
        super().__init__(llm, **settings)
        self.register_buffer("runs", torch.zeros(()), persistent=False)
        self.modes = []

    def forward(self, batch, *, normalizer):
        self.runs += 1
        self.modes.append((self.training, torch.is_grad_enabled()))
        return super().forward(batch, normalizer=normalizer)


def test_the_trial_leaves_no_trace(inputs, tmp_path):
    """Four passes without gradients, and a run whose numbers, dropout's too, are any other's."""
    plain = train(inputs, tmp_path / "plain", *STEP)
    run = train(inputs, tmp_path / "counted", *STEP, f"model.type={__file__}:Counts")
    assert run.model.modes == 4 * [(False, False)] + 2 * [(True, True)]
    assert run.model.runs == 2
    assert losses(tmp_path / "counted") == losses(tmp_path / "plain")
    assert metrics(tmp_path / "plain")[0]["grad_norm"] == run.metrics["grad_norm"]
    assert plain.model.training == run.model.training
