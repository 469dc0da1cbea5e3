"""New tokens: rows of the embedding and of the head that begin as what the tokens meant before.

A token that is new was so far spelled with several old ones. Its rows start as the mean of
theirs, so that the model reads it, and expects it, about as it did the spelling.

    tokens   old 0 … 383   new 384 '<call>'   padding 385 … 447
    rows     as they were  mean of the rows   mean of all old rows
                           of '<', 'call', '>'

Old tokens keep their rows, and with them their logits. A vocabulary that was padded has rows to
spare: new tokens use these first.

Shapes: V rows of the vocabulary, D width.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from tokenizers import AddedToken
from torch import Tensor, nn
from transformers import PreTrainedModel

from xtune.errors import AdapterError, ModelError
from xtune.models.tied import embedding_and_head, with_both_whole

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "Pieces",
    "add_tokens",
    "grow_vocabulary",
    "rows_needed",
    "token_pieces",
    "train_new_rows",
    "vocabulary_notes",
]

Pieces = Mapping[int, Sequence[int]]
"""Id of a new token -> ids of the old tokens that spelled it."""


def add_tokens(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str]) -> list[str]:
    """Add ordinary tokens to a tokenizer; return those that it did not have yet, in order.

    They are found in a text before it is split into words, and are kept when an answer is
    decoded.

    Args:
        tokenizer: changed in place.
        tokens: texts.

    Raises:
        ModelError: a token that is empty or white space.
    """
    for token in tokens:
        if not token.strip():
            raise ModelError(f"the token {token!r} is empty or white space: leave it out")
    known = tokenizer.get_vocab()
    new = [
        token
        for token in dict.fromkeys(tokens)
        if token not in known and not _is_one_token(tokenizer, token)
    ]
    # Not normalized: in SentencePiece's tokenizers that would put a space before the token.
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in new])
    return new


def token_pieces(
    before: PreTrainedTokenizerBase, after: PreTrainedTokenizerBase
) -> dict[int, list[int]]:
    """Return, for every token that only `after` has, how `before` spelled it.

    Args:
        before: a tokenizer.
        after: one with the same ids and more.

    Raises:
        ModelError: an id has another token in `after`.
    """
    old, new = before.get_vocab(), after.get_vocab()
    for token, number in old.items():
        if new.get(token) != number:
            raise ModelError(
                f"the token {token!r} has the id {number} in one vocabulary and "
                f"{new.get(token)} in the other; a vocabulary may only grow"
            )
    added = after.get_added_vocab()
    return {
        number: _spelling(before, token, is_text=token in added)
        for token, number in sorted(new.items(), key=lambda item: item[1])
        if token not in old
    }


def rows_needed(rows: int, pieces: Pieces, pad_to_multiple_of: int | None = None) -> int:
    """Return how many rows a vocabulary of `rows` must have with the new tokens.

    Args:
        rows: of the embedding as it is.
        pieces: of the new tokens.
        pad_to_multiple_of: round up to a multiple of this.
    """
    rows = max([rows, *(number + 1 for number in pieces)])
    multiple = pad_to_multiple_of or 1
    return -(-rows // multiple) * multiple


@torch.no_grad()
def grow_vocabulary(
    llm: PreTrainedModel,
    pieces: Pieces,
    *,
    init: Literal["subtokens", "mean"] = "subtokens",
    pad_to_multiple_of: int | None = None,
) -> None:
    """Give `llm` rows for new tokens, in its embedding and its head; no other weight changes.

    Args:
        llm: changed in place; without an adapter. On the meta device only the shapes change.
        pieces: the new tokens, see `token_pieces`.
        init: a new row is the mean of the rows of the token's old 'subtokens', or the 'mean' of
            all old rows.
        pad_to_multiple_of: round the number of rows up.

    Raises:
        ModelError: the family keeps a vocabulary in a third place.
    """
    config = llm.config.get_text_config()
    if init not in ("subtokens", "mean"):
        raise ModelError(f"init={init!r} is unknown: 'subtokens' or 'mean'")
    if pad_to_multiple_of is not None and pad_to_multiple_of < 1:
        raise ModelError(f"pad_to_multiple_of={pad_to_multiple_of}: it must be at least 1")
    embedding: Any = llm.get_input_embeddings()
    head: Any = llm.get_output_embeddings()
    before = embedding.weight.shape[0]
    rows = rows_needed(before, pieces, pad_to_multiple_of)
    if rows == before and not pieces:
        return
    if getattr(config, "vocab_size_per_layer_input", None):
        raise ModelError(
            f"{config.model_type!r} has embeddings in every layer, which do not grow here: train "
            "it without added tokens"
        )
    tied = head is not None and head.weight is embedding.weight
    embedding.weight = _grown(embedding.weight, rows, pieces, init)
    embedding.num_embeddings = rows
    if head is not None:
        head.weight = embedding.weight if tied else _grown(head.weight, rows, pieces, init)
        if getattr(head, "bias", None) is not None:
            head.bias = _grown(head.bias, rows, pieces, init)
        head.out_features = rows
    config.vocab_size = rows
    copies: list[Any] = [llm, llm.base_model]
    for part in copies:
        if hasattr(part, "vocab_size"):
            part.vocab_size = rows


def vocabulary_notes(
    tokenizer: PreTrainedTokenizerBase,
    pieces: Pieces,
    *,
    init: str = "subtokens",
    pad_to_multiple_of: int | None = None,
) -> dict[str, Any]:
    """Return what `load_adapter` must know to let the plain base grow alike; {} if nothing grew.

    Args:
        tokenizer: with the new tokens.
        pieces: of the new tokens.
        init: how their rows began.
        pad_to_multiple_of: what the rows were rounded up to.
    """
    if not pieces and not pad_to_multiple_of:
        return {}
    return {
        "added_tokens": {tokenizer.convert_ids_to_tokens(number): number for number in pieces},
        "pieces": {str(number): list(spelling) for number, spelling in pieces.items()},
        "init": init,
        "pad_to_multiple_of": pad_to_multiple_of,
    }


def train_new_rows(llm: PreTrainedModel, adapter: PeftConfig, pieces: Pieces) -> PeftConfig:
    """Return `adapter` such that it trains, and saves, the rows of the new tokens too.

    Only these rows where PEFT can; the whole embedding or head where it cannot: PEFT computes
    the head itself then, as a plain linear layer without bias.

    Args:
        llm: has grown already.
        adapter: of the sheet; what it says about these layers itself stays.
        pieces: the new tokens.

    Raises:
        AdapterError: `target_modules` has the embedding or the head.
    """
    own: Any = copy.deepcopy(adapter)
    if not pieces:
        return own
    own = with_both_whole(llm, own)
    whole = list(getattr(own, "modules_to_save", None) or ())
    embedding, head = llm.get_input_embeddings(), llm.get_output_embeddings()
    tied = head is not None and head.weight is embedding.weight
    plain_head = head is None or (type(head) is nn.Linear and head.bias is None)
    names = [_name_of(llm, embedding)]
    if head is not None and not tied:
        names.append(_name_of(llm, head))
    names = [name for name in names if not any(_is_within(name, given) for given in whole)]
    adapted = [name for name in names if _is_target(own, llm, name)]
    if adapted:
        raise AdapterError(
            f"target_modules names {adapted[0]!r}, whose rows of new tokens are to be trained: an "
            f"adapter cannot be on it as well. Take it out, or train it whole: "
            f"modules_to_save=[{adapted[0]!r}]"
        )
    by_row: dict[str, list[int]] = {}
    for name in names:
        computes_logits = tied or name != _name_of(llm, embedding)
        if hasattr(own, "trainable_token_indices") and (plain_head or not computes_logits):
            by_row[name] = sorted(pieces)
        else:
            whole.append(name)
    if by_row:
        given = own.trainable_token_indices or {}
        given = given if isinstance(given, dict) else {_name_of(llm, embedding): given}
        own.trainable_token_indices = {
            name: sorted({*by_row.get(name, ()), *given.get(name, ())})
            for name in dict.fromkeys([*by_row, *given])
        }
    if whole:
        own.modules_to_save = whole
    return own


def _name_of(llm: PreTrainedModel, module: nn.Module | None) -> str:
    path = next(name for name, found in llm.named_modules() if found is module)
    return path.rpartition(".")[2]


def _is_target(adapter: Any, llm: PreTrainedModel, name: str) -> bool:
    from peft.tuners.tuners_utils import check_target_module_exists

    if getattr(adapter, "target_modules", None) is None:
        return False
    paths = [p for p in embedding_and_head(llm) if p.rpartition(".")[2] == name]
    return any(check_target_module_exists(adapter, path) for path in paths)


def _is_within(name: str, given: str) -> bool:
    return given.rpartition(".")[2] == name


def _grown(old: nn.Parameter, rows: int, pieces: Pieces, init: str) -> nn.Parameter:
    """Return `old` [V, …] with `rows` rows; sums are fp32."""
    weight = old.new_empty((rows, *old.shape[1:]))
    if not weight.is_meta:
        weight[: len(old)] = old
        mean = _mean_of_old(old, pieces).to(old.dtype)
        weight[len(old) :] = mean
        for number, spelling in pieces.items():
            known = [piece for piece in spelling if piece < len(old) and piece not in pieces]
            by_pieces = init == "subtokens" and known
            weight[number] = old[known].float().mean(0).to(old.dtype) if by_pieces else mean
    return nn.Parameter(weight, requires_grad=old.requires_grad)


def _mean_of_old(old: Tensor, pieces: Pieces) -> Tensor:
    """The mean of all rows but those a new token will take; in chunks, as fp32 may be large."""
    total, taken = old.new_zeros(old.shape[1:], dtype=torch.float64), 0
    for start in range(0, len(old), 8192):
        total += old[start : start + 8192].double().sum(0)
    for number in pieces:
        if number < len(old):
            total -= old[number].double()
            taken += 1
    return total / max(len(old) - taken, 1)


def _is_one_token(tokenizer: PreTrainedTokenizerBase, text: str) -> bool:
    """Byte-level vocabularies hold a word under another name than its text."""
    ids = tokenizer.encode(text, add_special_tokens=False)
    return len(ids) == 1 and ids[0] != tokenizer.unk_token_id and tokenizer.decode(ids) == text


def _spelling(tokenizer: PreTrainedTokenizerBase, token: str, *, is_text: bool) -> list[int]:
    if is_text or not tokenizer.is_fast:
        return list(tokenizer.encode(token, add_special_tokens=False))
    # A piece is written as the model within sees it: its spaces are marks already.
    return [found.id for found in tokenizer.backend_tokenizer.model.tokenize(token)]
