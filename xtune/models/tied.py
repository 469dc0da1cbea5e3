"""An embedding and a head that are one weight: trained as one, parted where they must differ.

They are found by identity, whatever a family calls them. An adapter on one of the two leaves the
other as it was; merged into the weight that both share, it would change both.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import PreTrainedModel

if TYPE_CHECKING:
    from peft import PeftConfig

__all__ = [
    "embedding_and_head",
    "is_tied",
    "join_equal",
    "part_adapted",
    "saved_whole",
    "share_trained",
    "with_both_whole",
]


def embedding_and_head(llm: PreTrainedModel) -> dict[str, nn.Module]:
    """Return the modules of the vocabulary by their dotted names; the head, if any, comes last."""
    found = [llm.get_input_embeddings(), llm.get_output_embeddings()]
    paths = {id(module): path for path, module in llm.named_modules()}
    return {paths[id(module)]: module for module in found if module is not None}


def is_tied(llm: PreTrainedModel) -> bool:
    """Whether the head's weight is the embedding's; also where PEFT has wrapped one of them."""
    embedding, head = llm.get_input_embeddings(), llm.get_output_embeddings()
    return head is not None and _owner(head).weight is _owner(embedding).weight


def saved_whole(path: str, entries: Iterable[str]) -> bool:
    """Whether `modules_to_save` takes a module: PEFT compares ends of names.

    Args:
        path: of the module.
        entries: of `modules_to_save`.
    """
    return any(path.endswith(entry) for entry in entries)


def with_both_whole(llm: PreTrainedModel, config: PeftConfig) -> PeftConfig:
    """Return `config` such that a tied weight that is trained whole is named by both its names.

    So any program that reads the adapter gives both layers the trained weight.

    Args:
        llm: without the adapter.
        config: of the adapter; it stays as it is.
    """
    entries = list(getattr(config, "modules_to_save", None) or ())
    pair = embedding_and_head(llm) if entries and is_tied(llm) else {}
    taken = [path for path in pair if saved_whole(path, entries)]
    if not taken or len(taken) == len(pair):
        return config
    own: Any = copy.deepcopy(config)
    own.modules_to_save = [*entries, *(path for path in pair if path not in taken)]
    return own


def share_trained(llm: PreTrainedModel) -> None:
    """Make one weight of the two copies that PEFT trains, or has loaded, of a tied one.

    Copies of other values stay two: another program trained them apart.
    """
    embedding, head = llm.get_input_embeddings(), llm.get_output_embeddings()
    if head is None or not is_tied(llm):
        return
    first, second = (getattr(module, "modules_to_save", {}) for module in (embedding, head))
    for name in first.keys() & second.keys():
        one, other = first[name].weight, second[name].weight
        if one is not other and (one.is_meta or torch.equal(one, other)):
            second[name].weight = one


def part_adapted(llm: PreTrainedModel) -> None:
    """Give a tied head a weight of its own if PEFT has wrapped it or the embedding."""
    embedding, head = llm.get_input_embeddings(), llm.get_output_embeddings()
    if is_tied(llm) and not (_owner(embedding) is embedding and _owner(head) is head):
        weight = _owner(head).weight.detach().clone()
        _owner(head).weight = nn.Parameter(weight, requires_grad=False)


def join_equal(llm: PreTrainedModel, *, was_tied: bool) -> None:
    """Tie a head to its embedding again if they are still equal; else the config says so.

    A head of its own is lost on saving if the config still says that it is tied.

    Args:
        llm: without an adapter.
        was_tied: whether the two were one before they were parted.
    """
    embedding: Any = llm.get_input_embeddings()
    head: Any = llm.get_output_embeddings()
    if head is None:
        return
    if was_tied and torch.equal(head.weight, embedding.weight):
        head.weight = embedding.weight
    tied = head.weight is embedding.weight
    for config in (llm.config, llm.config.get_text_config()):
        config.tie_word_embeddings = tied


def _owner(module: Any) -> Any:
    """The module that holds the weight, within whatever PEFT has put around it."""
    for name in ("base_layer", "original_module", "token_adapter"):
        inner = getattr(module, name, None)
        if isinstance(inner, nn.Module):
            return _owner(inner)
    return module
