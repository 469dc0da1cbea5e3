"""Compare the tokenizer with the embedding before anything is loaded: each id needs a row."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from xtune.config.recipe import Recipe
from xtune.errors import ModelError
from xtune.models.loading import load_config
from xtune.models.vocabulary_rows import without_rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from xtune.data.protocol import Dataset
    from xtune.models.vocabulary import Pieces

__all__ = ["require_rows"]

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
