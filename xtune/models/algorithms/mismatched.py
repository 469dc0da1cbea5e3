"""Prompts of a step with answers to other prompts: what KTO measures its distance on.

All processes lay the step's answers in one order, by a hash of what they say, and give each prompt
the answer before it in that order, round the end; of the same prompt none is taken. So how a step
is split changes nothing, and neither does the order in which its rows came.

    order     a  b  c            prompt a with c's answer, b with a's, c with b's

They are shared out among the processes, each of which runs as many batches as the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from xtune.models.algorithms.base import Peers
from xtune.structures import IGNORE_INDEX, Batch

__all__ = ["mismatched_batches"]


@dataclass(frozen=True, slots=True)
class _Judged:
    """An answer with its prompt: `labels` say for each position what is to follow it, or -100."""

    prompt: np.ndarray
    answer: np.ndarray
    labels: np.ndarray  # of the prompt's last token and of all of the answer but its last

    @property
    def place(self) -> bytes:
        """Where it stands in the order."""
        parts = (self.prompt, self.answer, self.labels)
        text = b"|".join(part.astype(np.int64).tobytes() for part in parts)
        return hashlib.sha256(text).digest()


def mismatched_batches(batches: Sequence[Batch], peers: Peers) -> list[Batch]:
    """Return this process's part of a step's prompts, each with the answer to another one.

    Args:
        batches: this process's micro-batches of the step; none of one that shares its rows with
            another that has them.
        peers: who does the step; all of them call this.

    Returns:
        As many batches as on each other process, and of those that share a row the same; fillers
        for what a process lacks. Empty where no two prompts differ.
    """
    own = [judged for batch in batches for judged in _judged_of(batch)]
    room = max((batch.tokens for batch in batches), default=0)
    everyones = peers.world.gather((own, room))
    step = sorted((one for part, _ in everyones for one in part), key=lambda one: one.place)
    longest = max((len(one.prompt) + len(one.answer) for one in step), default=0)
    documents = [
        document
        for document in (_with_other(step, at, longest) for at in range(len(step)))
        if document
    ]
    packs = _packed(documents, max(longest, *(room for _, room in everyones)))
    takers, number = peers.sequence.count, peers.sequence.number
    mine = packs[number::takers]
    batches = [_batch(pack) for pack in mine]
    if packs and len(mine) < -(-len(packs) // takers):
        filler = _batch(packs[0][:1])
        filler.labels.fill_(IGNORE_INDEX)
        filler.is_filler = True
        batches.append(filler)
    return batches


def _judged_of(batch: Batch) -> list[_Judged]:
    ids, labels = batch.input_ids[0].numpy(), batch.labels[0].numpy()
    found = []
    for begin, end in pairwise(batch.cu_seqlens.tolist()):
        trained = np.flatnonzero(labels[begin:end] != IGNORE_INDEX)
        if len(trained):
            first = begin + int(trained[0]) + 1  # the answer's first token
            found.append(_Judged(ids[begin:first], ids[first:end], labels[first - 1 : end - 1]))
    return found


def _with_other(step: list[_Judged], at: int, longest: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Ids and labels of a prompt with the answer before it to another prompt; None without one."""
    own = step[at].prompt
    for back in range(1, len(step)):
        other = step[at - back]
        if not np.array_equal(other.prompt, own):
            answer = other.answer[: max(1, longest - len(own))]
            silent = np.full(len(own) - 1, IGNORE_INDEX)
            labels = np.concatenate([silent, other.labels[: len(answer)], [IGNORE_INDEX]])
            return np.concatenate([own, answer]), labels
    return None


def _packed(
    documents: list[tuple[np.ndarray, np.ndarray]], room: int
) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """Documents in packs of at most `room` tokens, in their order."""
    packs: list[list[tuple[np.ndarray, np.ndarray]]] = []
    held = 0
    for document in documents:
        size = len(document[0])
        if not packs or held + size > room:
            packs.append([])
            held = 0
        packs[-1].append(document)
        held += size
    return packs


def _batch(documents: list[tuple[np.ndarray, np.ndarray]]) -> Batch:
    lengths = [len(ids) for ids, _ in documents]
    return Batch(
        input_ids=torch.from_numpy(np.concatenate([ids for ids, _ in documents]))[None].long(),
        position_ids=torch.cat([torch.arange(length) for length in lengths])[None],
        labels=torch.from_numpy(np.concatenate([labels for _, labels in documents]))[None].long(),
        cu_seqlens=torch.tensor(np.cumsum([0, *lengths]), dtype=torch.int32),
        max_seqlen=max(lengths),
    )
