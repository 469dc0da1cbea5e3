"""A row through a model's layers, in one of three ways that give the same hidden states.

Shapes: T tokens of the row, D width.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from xtune.errors import ModelError
from xtune.eval.scoring.layout import Row
from xtune.losses.devices import runs_on_cpu
from xtune.models import base_of, generation_mode
from xtune.models.attention.tree import NAME, Tree
from xtune.models.shape_rounding import round_up

__all__ = ["Way", "hidden_states", "mode_of", "run_as_tree"]

Way = Literal["tree", "cache", "single"]


@contextmanager
def mode_of(llm: Any, way: Way) -> Iterator[None]:
    """Set a model up to answer in a way, without gradients, and give it back as it was.

    Args:
        llm: a causal language model, with a PEFT adapter or without.
        way: of the passes within.
    """
    with generation_mode(llm):  # gives the attention back too
        if way == "tree":
            base_of(llm).set_attn_implementation(NAME)
        yield


def hidden_states(llm: Any, row: Row, way: Way, *, passes: int | None = None) -> Tensor:
    """Return what the layers make of a row, [T, D].

    Args:
        llm: in the mode of the way.
        row: for 'single' without branches.
        way: 'tree' in one pass; 'cache' a pass for each stretch without a branch; 'single' one
            plain pass.
        passes: for 'cache', how many to make at least: processes that share a model make as many
            each.
    """
    body = base_of(llm).base_model
    device = llm.get_input_embeddings().weight.device
    if way == "tree":
        return run_as_tree(llm, row)[0]
    if way == "cache":
        hidden = _with_cache(body, row, device)
        for _ in range(len(list(row.segments())), passes or 0):
            body(input_ids=torch.tensor([row.ids[:1]], device=device), use_cache=True)
        return hidden
    ids = torch.tensor([row.ids], device=device)
    return body(input_ids=ids, use_cache=False).last_hidden_state[0]


def run_as_tree(llm: Any, row: Row) -> tuple[Tensor, Tree]:
    """Return what the layers make of a row, [T, D], and the tree that its attention was given.

    Args:
        llm: in the mode of this way.
        row: with branches or without.
    """
    device = llm.get_input_embeddings().weight.device
    tokens = len(row.ids)
    ids = torch.tensor([row.ids], device=device)
    depth = torch.tensor(row.depth, device=device)
    leave = torch.tensor(row.leave, device=device)
    if runs_on_cpu(ids) and (more := round_up(tokens) - tokens):
        # few different lengths, see shape_rounding.py; what is added sees only itself
        added = torch.arange(tokens, tokens + more)
        ids = torch.nn.functional.pad(ids, (0, more))
        depth = torch.nn.functional.pad(depth, (0, more))
        leave = torch.cat([leave, added + 1])
    tree = Tree(depth, leave)
    states = base_of(llm).base_model(
        input_ids=ids, position_ids=depth[None], use_cache=False, tree=tree
    )
    return states.last_hidden_state[0, :tokens], tree


def _with_cache(body: Any, row: Row, device: torch.device) -> Tensor:
    """Each stretch after the keys and values, or states, of those that it stands behind."""
    states = []
    above: list[tuple[int, Any]] = []  # where what stands behind a stretch ends, and its cache
    for start, stop in row.segments():
        while above and above[-1][0] <= start:
            above.pop()
        cache = None
        if above:
            end, cache = above[-1]
            if row.leave[start] < end:  # others stand behind it too
                cache = copy.deepcopy(cache)
        ids = torch.tensor([row.ids[start:stop]], device=device)
        output = body(input_ids=ids, past_key_values=cache, use_cache=True)
        states.append(output.last_hidden_state[0])
        if row.leave[stop - 1] > stop:
            cache = getattr(output, "past_key_values", None)
            if cache is None:
                raise ModelError(f"{type(body).__name__} gives no cache back")
            above.append((row.leave[stop - 1], cache))
    return torch.cat(states)
