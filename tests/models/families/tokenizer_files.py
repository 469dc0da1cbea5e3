"""Tiny tokenizers in the files that checkpoints are published with."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

__all__ = ["CORPUS", "write_sentencepiece", "write_tiktoken"]

CORPUS = """Give three tips for staying healthy. Eat a balanced diet and sleep enough.
What is the capital of France? The capital of France is Paris.
def add(a, b):\n    return a + b
上海有哪些值得一去的地方？外滩、豫园和城隍庙。今天天气很好，我们去公园吧。
1234567890 3.14159 2026-11-25 naïve café façade Ünïcödé
user assistant system Human Bot instruction output input The quick brown fox jumps."""


def write_sentencepiece(folder: Path | str, *, vocab: int, **settings: Any) -> Path:
    """Train `tokenizer.model` on CORPUS.

    Args:
        folder: made if missing.
        vocab: pieces, at least 300.
        settings: of sentencepiece's trainer, over: BPE, byte fallback, no dummy prefix, white
            space kept, digits apart, no normalisation, <unk> <s> </s> at 0 1 2.
    """
    import sentencepiece

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        model_writer=model,
        **{
            "sentence_iterator": iter(CORPUS.splitlines() * 3),
            "model_type": "bpe",
            "vocab_size": vocab,
            "byte_fallback": True,
            "add_dummy_prefix": False,
            "remove_extra_whitespaces": False,
            "allow_whitespace_only_pieces": True,
            "split_digits": True,
            "normalization_rule_name": "identity",
            "character_coverage": 0.995,
            "hard_vocab_limit": True,
            "minloglevel": 2,
        }
        | settings,
    )
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    return folder


def write_tiktoken(file: Path | str, *, tokens: int) -> Path:
    """Train a byte-level BPE on CORPUS and write its ranks as tiktoken does.

    Args:
        file: 'qwen.tiktoken' or 'tokenizer.model' in its folder, which is made if missing.
        tokens: lines of the file, at least 256: the bytes, then merged ones.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=tokens,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(CORPUS.splitlines(), trainer)
    letters = {letter: byte for byte, letter in enumerate(_letters())}
    vocabulary = sorted(bpe.get_vocab(), key=bpe.get_vocab().get)
    pieces = [bytes(letters[letter] for letter in token) for token in vocabulary]
    pieces.sort(key=lambda piece: len(piece) > 1)  # bytes first, merged ones in their order
    assert len(pieces) == tokens
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{base64.b64encode(piece).decode()} {rank}" for rank, piece in enumerate(pieces)]
    file.write_text("\n".join(lines) + "\n", encoding="ascii")
    return file


def _letters() -> list[str]:
    """The letter that byte-level tokenizers write for each byte."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = iter(range(256, 512))
    return [chr(byte if byte in shown else next(hidden)) for byte in range(256)]
