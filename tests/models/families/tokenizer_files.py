"""Tiny tokenizers in the files that checkpoints are published with."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

__all__ = ["CORPUS", "write_sentencepiece"]

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
