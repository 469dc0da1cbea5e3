"""The scores of texts by a reward model, and where in a text its score is read.

    scores      a number for each token, of the text up to it
    end_scores  that of the last token
    reading     'end': the last token's; 'token_mean': the mean over the answer's tokens

They are the same for a document alone, in a pack, and padded on either side: a padded batch is
made a pack. Shapes: T tokens of a batch or row, S documents of a batch, B rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from xtune.errors import ConfigError, DataError
from xtune.models.algorithms.backbone import Backbone
from xtune.parallel.slices import BatchSlice, sum_by_document
from xtune.structures import IGNORE_INDEX, Batch

__all__ = ["READINGS", "Reading", "Scores", "read", "scores_of", "scores_of_rows"]

Reading: TypeAlias = Literal["end", "token_mean"]
READINGS: tuple[Reading, ...] = get_args(Reading)


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of a batch of documents, or of padded rows.

    Attributes:
        scores: fp32 [1, T, 1] of a batch; [B, T, 1] of rows, 0 at padding.
        end_scores: fp32 [S, 1], or [B, 1].
        end_index: int64 [S], where in the batch each document's last token is; or [B], in its row.
    """

    scores: Tensor
    end_scores: Tensor
    end_index: Tensor


def scores_of(backbone: Backbone, batch: Batch) -> Scores:
    """Score a batch of documents end to end.

    Args:
        backbone: of a reward model.
        batch: a slice has its own tokens' scores, and all processes of its group must call this.
    """
    scores = backbone.head.module(backbone.hidden_states(batch))
    group = batch.group if isinstance(batch, BatchSlice) else None
    count = batch.documents if isinstance(batch, BatchSlice) else len(batch.cu_seqlens) - 1
    ends = batch.cu_seqlens[1 : count + 1].long() - 1
    places = torch.arange(batch.tokens, device=ends.device)
    if group is not None:
        places = places + group.rank * batch.tokens
    at_end = torch.isin(places, ends)
    # One number a document, and zeros: added up as everything is that processes share
    values = torch.where(at_end, scores[0, :, 0], 0.0)
    return Scores(scores, sum_by_document(values, batch)[:, None], ends)


def read(scores: Scores, batch: Batch, reading: Reading) -> Tensor:
    """Return each document's score, fp32 [S].

    Args:
        scores: of the batch.
        batch: with labels at the answers' tokens.
        reading: 'end' or 'token_mean'.

    Raises:
        ConfigError: processes share the row, of which a mean over tokens is not made.
    """
    if reading == "end":
        return scores.end_scores[:, 0]
    answered = answer_tokens(batch)
    sums = sum_by_document(torch.where(answered, scores.scores[0, :, 0], 0.0), batch)
    return sums / sum_by_document(answered.float(), batch).clamp(min=1)


def answer_tokens(batch: Batch) -> Tensor:
    """Return where the tokens of answers stand: bool [T]; a label stands one place before them.

    Args:
        batch: whole.

    Raises:
        ConfigError: it is a slice.
    """
    if isinstance(batch, BatchSlice):
        raise ConfigError(
            "scores of single tokens (reading='token_mean', loss token_aligned) are not made where "
            "processes share a row: set sequence_parallel_size=1, or reading='end'"
        )
    return (batch.labels[0] != IGNORE_INDEX).roll(1)  # the last position has none


@torch.no_grad()
def scores_of_rows(backbone: Backbone, input_ids: Tensor, attention_mask: Tensor) -> Scores:
    """Score rows that are padded on either side.

        input_ids       [[a0 a1 a2], [ .  b0 b1]]
        attention_mask  [[ 1  1  1], [ 0   1  1]]      end_index [2 2]

    What is padding the mask says alone: a token of its id within a text is one of the text.

    Args:
        backbone: of a reward model.
        input_ids: int64 [B, T].
        attention_mask: [B, T], 1 at tokens of the text and 0 at padding.

    Raises:
        DataError: shapes that differ, a row without a token, or a hole in one.
    """
    if input_ids.ndim != 2 or input_ids.shape != attention_mask.shape:
        raise DataError(
            f"input_ids are {list(input_ids.shape)} and attention_mask "
            f"{list(attention_mask.shape)}: give both as [rows, tokens]"
        )
    mask = attention_mask.bool()
    lengths = mask.sum(1)
    first = mask.float().argmax(1)
    places = torch.arange(mask.shape[1], device=mask.device)
    whole = (places >= first[:, None]) & (places < (first + lengths)[:, None])
    if not (lengths.all() and torch.equal(whole, mask)):
        raise DataError(
            "attention_mask must be 1 from a row's first token to its last, at least one, and 0 "
            "before and after"
        )
    batch = Batch(
        input_ids=input_ids[mask][None],
        position_ids=(places - first[:, None])[mask][None],
        labels=torch.full((1, int(lengths.sum())), IGNORE_INDEX, device=mask.device),
        cu_seqlens=torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]).int(),
        max_seqlen=int(lengths.max()),
    )
    found = scores_of(backbone, batch)
    scores = torch.zeros(*mask.shape, 1, device=mask.device)
    scores[mask] = found.scores[0]
    return Scores(scores, found.end_scores, first + lengths - 1)
