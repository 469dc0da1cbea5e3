"""What is watched of contenders that train with transformers' Trainer."""

from __future__ import annotations

import time

from common import Run, digest
from transformers import TrainerCallback


class Watch(TrainerCallback):
    """Times the optimizer steps and keeps their losses."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_step_begin(self, args, state, control, **_):
        self.began = time.perf_counter()

    def on_step_end(self, args, state, control, **_):
        self.run.seconds.append(time.perf_counter() - self.began)

    def on_log(self, args, state, control, logs=None, **_):
        if "loss" in logs:
            self.run.losses.append(logs["loss"])


def recording(collator, run: Run):
    """The trainer's own collator, and a note of what it hands out."""

    def collate(examples):
        batch = collator(examples)
        documents = list(_documents_of(batch))
        run.documents += [digest(ids, labels) for ids, labels in documents]
        run.tokens.append(sum(len(ids) for ids, _ in documents))
        run.trained.append(sum(x != -100 for _, labels in documents for x in labels[1:]))
        return batch

    return collate


def _documents_of(batch):
    """The documents of a batch, (ids, labels), told apart by what attention is told."""
    mask = batch.get("attention_mask")
    for row, (ids, labels) in enumerate(zip(batch["input_ids"], batch["labels"], strict=True)):
        if mask is None:  # padding-free: documents begin where positions restart
            starts = (batch["position_ids"][row] == 0).nonzero().flatten().tolist()
            places = list(map(range, starts, [*starts[1:], len(ids)]))
        elif mask.dim() == 2:  # one document a row
            places = [mask[row].nonzero().flatten().tolist()]
        else:  # [B, 1, T, T]: tokens that see the same first token are one document
            seen = mask[row, 0] == 0
            first = seen.int().argmax(dim=1)
            real = seen.diagonal().nonzero().flatten().tolist()
            places = {}
            for place in real:
                places.setdefault(int(first[place]), []).append(place)
            places = list(places.values())
        for chosen in map(list, places):
            yield ids[chosen].tolist(), labels[chosen].tolist()
