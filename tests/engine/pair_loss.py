"""An algorithm of pairs for tests: the better answer is to be the likelier one."""

from __future__ import annotations

import torch
from torch.nn.functional import logsigmoid

from xtune.models import SupervisedFinetune
from xtune.parallel.slices import BatchSlice, group_numbers, sum_by_document


class PairLoss(SupervisedFinetune):
    """-log sigmoid(log p(chosen) - log p(rejected)), the mean over the pairs of a step."""

    learns_from = "pairs"

    def forward(self, batch, *, normalizer):
        hidden = self.backbone.hidden_states(batch)[0]
        log_probs = self.backbone.head.log_probs(hidden, batch.labels[0], chunk_size=64)
        answers = sum_by_document(log_probs, batch)
        sides = batch.per_document["side"]
        margins = answers[sides == 0] - answers[sides == 1]
        of_all = batch.group.size if isinstance(batch, BatchSlice) else 1
        share = (not batch.is_filler) / normalizer / of_all
        return {
            "loss": -logsigmoid(margins).sum() * share,
            "accuracy": (margins > 0).sum().float() * share,
        }

    def weight(self, batch):
        return float(group_numbers(batch)[-1] + 1)

    def example(self, lengths, *, trained):
        halves = [half for length in lengths for half in (length - length // 2, length // 2)]
        batch = super().example(halves, trained=trained)
        batch.per_document["side"] = torch.tensor([0, 1] * len(lengths))
        return batch
