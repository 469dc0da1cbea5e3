"""Tiny checkpoints in Hugging Face's own format: a few hundred kilobytes, written in milliseconds.

    folder = write_tiny_llama(tmp_path / "llama")                 # 2 layers, width 32, GQA, tied
    folder = write_tiny_llama(tmp_path / "other", vocab=400, seed=1)
    folder = write_tiny_model(tmp_path / "mistral", "mistral", sliding_window=8)

The tokenizer is a byte-level BPE with the ChatML special tokens and a `chat_template` that
writes ChatML; `<|im_end|>` is its end-of-text token, as it is SmolLM2's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["CHATML", "write_tiny_llama", "write_tiny_model", "write_tiny_tokenizer"]

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]  # ids 0, 1, 2
TEXT = """I have 301 miles, what is that in kilometres?
{"name": "convert", "arguments": {"value": 301, "from_unit": "mile", "to_unit": "kilometre"}}
user assistant system tool You are a helpful assistant. What is the weather in Paris on Monday?
Set an alarm for seven. Thank you, that is all! The quick brown fox jumps over the lazy dog."""


def write_tiny_tokenizer(folder: Path | str, *, vocab: int = 384) -> Path:
    """Write a byte-level BPE of exactly `vocab` (>= 259) tokens, special ones included."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(TEXT.splitlines(), trainer)
    assert bpe.get_vocab_size() == vocab, f"TEXT gives {bpe.get_vocab_size()} tokens at most"
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        model_max_length=2048,
    )
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(folder)
    return Path(folder)


def write_tiny_model(
    folder: Path | str,
    family: str,
    *,
    vocab: int = 384,
    layers: int = 2,
    width: int = 32,
    heads: int = 4,
    kv_heads: int = 2,
    tied: bool = True,
    seed: int = 0,
    **config: Any,
) -> Path:
    """Write random weights of any transformers `model_type`, and the tokenizer next to them.

    Args:
        folder: where to; made if missing.
        family: llama, qwen2, mistral, gemma2, …
        vocab: rows of the embedding, and tokens of the tokenizer.
        layers: decoder layers.
        width: hidden size; the MLP is twice as wide.
        heads: query heads.
        kv_heads: key and value heads; fewer than `heads` is GQA.
        tied: the head shares the embedding's weight.
        seed: of the weights.
        config: any further field of the family's config.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    settings: dict[str, Any] = {
        "vocab_size": vocab,
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": width // heads,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": tied,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
        "initializer_range": 0.2,  # 0.02 at this width gives attention nothing to choose between
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(
            AutoConfig.for_model(family, **(settings | config)), dtype=torch.float32
        )
    model.save_pretrained(folder)
    return write_tiny_tokenizer(folder, vocab=vocab)


def write_tiny_llama(folder: Path | str, **settings: Any) -> Path:
    """Write a tiny Llama; for the arguments see `write_tiny_model`."""
    return write_tiny_model(folder, "llama", **settings)
