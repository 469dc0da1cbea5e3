"""Compare the tokenizer with the embedding before anything is loaded: each id needs a row."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xtune.config.recipe import Recipe
from xtune.errors import ConfigError, ModelError
from xtune.models.loading import load_config
from xtune.models.tokenizer import load_tokenizer
from xtune.models.vocabulary_rows import without_rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from xtune.data.protocol import Dataset
    from xtune.models.vocabulary import Pieces

__all__ = ["require_rows", "require_same_tokens"]

logger = logging.getLogger(__name__)


def require_rows(
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerBase,
    pieces: Pieces,
    *datasets: Dataset | None,
) -> None:
    """Refuse data with a token that the model's embedding has no row for.

    More rows than tokens are usual, and tokens without a row that no data use do no harm; some
    published tokenizers have them. A streamed data set's tokens are not known beforehand.

    Args:
        recipe: of the run.
        tokenizer: of the run.
        pieces: of the tokens that the sheet adds; the embedding grows for them.
        datasets: of the run; None among them is passed over.

    Raises:
        ModelError: such a token is in the data.
    """
    name = recipe.base_model
    if pieces or name is None:
        return
    config = load_config(name, trust_remote_code=recipe.trust_remote_code)
    rows: int | None = getattr(config.get_text_config(), "vocab_size", None)
    if rows is None:
        return
    found = without_rows(tokenizer.get_vocab(), rows, name)
    if found is None:
        return
    what, _ = found
    ids = [dataset.largest_id() for dataset in datasets if dataset is not None]
    largest = max((one for one in ids if one is not None), default=-1)
    if largest < rows:
        logger.warning("%s. The data use none of them", what)
        return
    raise ModelError(
        f"{what}, and the data use {tokenizer.convert_ids_to_tokens(largest)!r} (id {largest}). "
        "Take the tokenizer that the model was trained with; or give the model the tokens: name "
        "them in added_tokens of the config, with the model's own tokenizer, or write a larger "
        "model first: xtune expand-vocab"
    )


def require_same_tokens(
    model: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, pieces: Pieces
) -> None:
    """Refuse a reference to which an id means another token than to the run.

    Args:
        model: the sheet's.
        tokenizer: of the run.
        pieces: of the tokens that the sheet adds; the reference gets rows for them too.

    Raises:
        ConfigError: it is such; of one without a tokenizer of its own the rows are compared later.
    """
    settings = model.get("ref")
    name = settings.get("pretrained_model_name_or_path") if isinstance(settings, Mapping) else None
    if not isinstance(name, str) or name == tokenizer.name_or_path:
        return
    try:
        other = load_tokenizer(name).get_vocab()
    except (ModelError, OSError, ValueError):
        return
    own = {token: at for token, at in tokenizer.get_vocab().items() if at not in pieces}
    if differing := sorted((at, token) for token, at in own.items() if other.get(token) != at):
        at, token = differing[0]
        there = f"id {other[token]}" if token in other else "no token"
        raise ConfigError(
            f"model.ref={name!r} has another vocabulary than the run: {token!r} is id {at} here "
            f"and {there} there, and {len(differing)} tokens differ in all. A reference gives "
            "log-probabilities of the policy's own tokens: name the model that the training "
            "begins with"
        )
