"""Random batches, and the plain way to compute what a pack must equal."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from xtune.models import base_of
from xtune.structures import Batch

__all__ = ["documents_of", "pack", "plain_loss", "random_documents"]


def random_documents(lengths, *, vocab=384, trained=0.5, seed=0):
    """One (ids, labels) pair a document; labels are shifted, the last one is always -100."""
    generator = torch.Generator().manual_seed(seed)
    documents = []
    for length in lengths:
        ids = torch.randint(3, vocab, (length,), generator=generator)
        labels = torch.cat([ids[1:], torch.tensor([-100])])
        labels[torch.rand(length, generator=generator) > trained] = -100
        documents.append((ids, labels))
    return documents


def pack(documents):
    """Put documents end to end in one Batch."""
    lengths = [len(ids) for ids, _ in documents]
    return Batch(
        input_ids=torch.cat([ids for ids, _ in documents])[None],
        position_ids=torch.cat([torch.arange(length) for length in lengths])[None],
        labels=torch.cat([labels for _, labels in documents])[None],
        cu_seqlens=torch.tensor([0, *lengths]).cumsum(0).int(),
        max_seqlen=max(lengths),
    )


def documents_of(batch):
    """Undo `pack`."""
    lengths = batch.cu_seqlens.diff().tolist()
    return list(zip(batch.input_ids[0].split(lengths), batch.labels[0].split(lengths), strict=True))


def plain_loss(llm, documents, normalizer):
    """Full logits of each document alone, through transformers' own forward and attention."""
    base = base_of(llm)
    ours = base.config._attn_implementation
    base.set_attn_implementation(base.get_correct_attn_implementation(None))
    total = 0.0
    for ids, labels in documents:
        logits = llm(input_ids=ids[None], use_cache=False).logits[0]
        total = total + F.cross_entropy(logits.float(), labels, reduction="sum")
    base.set_attn_implementation(ours)
    return total / normalizer
