"""Llama's kind of SentencePiece tokenizers, with the spaces that their files ask for.

SentencePiece puts one space before a text (`add_dummy_prefix`) or none, and keeps those that are
there. transformers 5 has it otherwise, whatever the files say:

    text             'Hi'      ' Hi'      vocabulary
    SentencePiece    ▁Hi       ▁▁Hi       with the prefix: Llama 1 and 2, Mistral
    LlamaTokenizer   ▁Hi       ▁Hi        … from tokenizer.model and from tokenizer.json
    for Mistral      Hi        ▁Hi        … from tokenizer.model
    SentencePiece    Hi        ▁Hi        without it: Yi
    LlamaTokenizer   ▁Hi       ▁Hi

(huggingface/transformers, pull request 47700, describes the second row.)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtune.errors import UsageError
from xtune.models.sentencepiece_merge import read_sentencepiece

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from xtune.models.families.files import CheckpointFiles

__all__ = ["with_its_own_spaces"]

_SPACE = "▁"


def with_its_own_spaces(
    tokenizer: PreTrainedTokenizerBase, files: CheckpointFiles
) -> PreTrainedTokenizerBase:
    """Make the tokenizer anew from its files where transformers has put spaces of its own.

    A published tokenizer.json is taken as it is, but for one thing: transformers before 4.42
    wrote it with a prefix also for vocabularies that have none. tokenizer.model knows.

    Args:
        tokenizer: as AutoTokenizer made it; of another kind, it is returned as it is.
        files: what it was made from.
    """
    from transformers import LlamaTokenizer, PreTrainedTokenizerFast

    if type(tokenizer) not in (LlamaTokenizer, PreTrainedTokenizerFast):
        return tokenizer
    published, pieces = files.path("tokenizer.json"), files.path("tokenizer.model")
    rebuilt = type(tokenizer) is LlamaTokenizer and (published or pieces)
    if not rebuilt and (published or not pieces):
        return tokenizer
    # The class that takes tokenizer.json as it is, and writes it so that it is taken so again.
    own: Any = PreTrainedTokenizerFast.from_pretrained(files.source)
    has_prefix = None if pieces is None else _has_prefix(pieces)
    if has_prefix and published is None:
        _put_prefix(own.backend_tokenizer)
    elif has_prefix is False:
        _take_prefix(own.backend_tokenizer)
    return own


def _has_prefix(file: Path) -> bool | None:
    """None if it is no SentencePiece model: others call their files tokenizer.model too."""
    try:
        return bool(read_sentencepiece(file).normalizer_spec.add_dummy_prefix)
    except UsageError:
        return None


def _put_prefix(backend: Any) -> None:
    from tokenizers import decoders, normalizers

    backend.normalizer = normalizers.Sequence([normalizers.Prepend(_SPACE), backend.normalizer])
    backend.decoder = decoders.Sequence([backend.decoder, decoders.Strip(" ", 1, 0)])


def _take_prefix(backend: Any) -> None:
    from tokenizers import decoders, normalizers

    backend.normalizer = normalizers.Replace(" ", _SPACE)
    backend.pre_tokenizer = None
    backend.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
