"""Which way of a row through a model is right for it: it is asked, on a few tokens.

A family may do something between tokens that a tree or a cache does not carry: a state, a mask or
a bias of its own. So each way is compared with the plain passes that it stands for, and the first
that agrees is taken: one tree, a cache, or one text after the other, which is right for all.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xtune.engine.memory_check import is_out_of_memory
from xtune.errors import ModelError
from xtune.eval.requests import LikelihoodRequest
from xtune.eval.scoring.layout import Row, rows_of, texts_of
from xtune.eval.scoring.passes import Way, hidden_states, mode_of, run_as_tree
from xtune.models import base_of
from xtune.models.attention import length_that_rotation_depends_on, why_not_one_row

__all__ = ["Allowed", "allowed_way"]

logger = logging.getLogger(__name__)

_WAYS: tuple[Way, ...] = ("tree", "cache")  # the best one first

_TOLERATED = 1e-3  # of the largest difference of a position's hidden state, relative, in fp32
# In 16 bits and with quantized weights rounding makes a few per cent of most positions; that one
# sees what it should not makes more than a tenth.
_TOLERATED_ROUNDED = 8e-2  # of the median


@dataclass(frozen=True, slots=True)
class Allowed:
    """How a model may be run.

    Attributes:
        way: of texts up to the limit.
        longest: tokens of the longest text for which this is known; others go one by one. None: no
            limit.
    """

    way: Way
    longest: int | None = None


def allowed_way(llm: Any, wanted: Way | str = "auto") -> Allowed:
    """Find the first way that gives the hidden states of single passes.

    Args:
        llm: a causal language model, with a PEFT adapter or without.
        wanted: 'auto'; or one way, which must be right then.

    Raises:
        ModelError: the wanted way is wrong for this model; says by how much.
        ValueError: there is no such way.
    """
    if wanted not in ("auto", "tree", "cache", "single"):
        raise ValueError(f"way is {wanted!r}; allowed: 'auto', 'tree', 'cache', 'single'")
    config = base_of(llm).config.get_text_config()
    rotation = length_that_rotation_depends_on(config)
    reasons = []
    for way in _WAYS if wanted == "auto" else [way for way in _WAYS if way == wanted]:
        why, limit = why_not_one_row(base_of(llm), kernels=True) if way == "tree" else None, None
        if why is None:
            why, limit = _compared(llm, way)
        if why is None:
            return Allowed(way, min(filter(None, (rotation, limit)), default=None))
        reasons.append(f"{way}: {why}")
    if wanted in ("tree", "cache"):
        raise ModelError(f"{config.model_type!r} cannot be scored so: {reasons[0]}")
    if reasons:
        logger.info("%r is scored text by text (%s)", config.model_type, "; ".join(reasons))
    return Allowed("single", rotation)


def _compared(llm: Any, way: Way) -> tuple[str | None, int | None]:
    """Why a way is not right, None if it is; and up to which length that is known."""
    row = _small_tree(llm.get_input_embeddings().weight.shape[0])
    limit = None
    try:
        with mode_of(llm, way):
            if way == "tree":
                hidden, tree = run_as_tree(llm, row)
                limit = _unseen_window(llm, tree.windows)
            else:
                hidden = hidden_states(llm, row, way)
    except Exception as error:  # whatever a family raises, it is not made for this
        if is_out_of_memory(error):
            raise
        return str(error).splitlines()[0] if str(error) else type(error).__name__, None
    with mode_of(llm, "single"):
        differences = [_difference(llm, text.ids, row, hidden) for text in row.texts]
    difference = torch.cat(differences)
    exact = base_of(llm).dtype == torch.float32 and not getattr(base_of(llm), "is_quantized", False)
    found = float(difference.max() if exact else difference.median())
    if found <= (_TOLERATED if exact else _TOLERATED_ROUNDED):
        return None, limit
    return f"hidden states differ from those of single texts by {found:.1e}", None


def _small_tree(vocabulary: int) -> Row:
    """Texts with common beginnings: a chain of tokens, three ways on, and a text of its own."""
    ids = [5 + 7 * n % (vocabulary - 5) for n in range(16)]
    ends = [[*ids[:6], *ids[6:9]], [*ids[:6], *ids[9:11]], [*ids[:8], ids[12]], ids[13:16]]
    requests = [LikelihoodRequest((*end,), (0,)) for end in ends]
    return next(rows_of(texts_of(requests, range(len(requests))), requests, budget=1000))


def _difference(llm: Any, ids: tuple[int, ...], row: Row, hidden: Tensor) -> Tensor:
    """How far each position of a text is from its own pass, relative."""
    alone = next(text for text in _paths(row) if text[0] == ids)
    request = [LikelihoodRequest(ids, (0,))]
    own = hidden_states(llm, next(rows_of(texts_of(request, [0]), request, budget=1)), "single")
    own, found = own.float(), hidden[torch.tensor(alone[1], device=hidden.device)].float()
    return (found - own).norm(dim=1) / own.norm(dim=1).clamp(min=1e-6)


def _paths(row: Row) -> list[tuple[tuple[int, ...], list[int]]]:
    """Each text of a row, and the places of its tokens."""
    ends = [asked.places[-1] for asked in row.asked]
    paths = [[p for p in range(end + 1) if row.leave[p] > end] for end in ends]
    return [(tuple(row.ids[place] for place in path), path) for path in paths]


def _unseen_window(llm: Any, seen: set[int | None]) -> int | None:
    """The model's sliding window, if its layers did not tell the attention of it."""
    config = base_of(llm).config.get_text_config()
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    slides = window is not None and (kinds is None or "sliding_attention" in kinds)
    return window if slides and window not in seen else None
