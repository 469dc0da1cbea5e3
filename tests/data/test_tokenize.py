from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from tests.data.tiny_tokenizer import LINES, SPECIAL, tiny_tokenizer
from xtune.data.tokenize import Encoder, sample_of
from xtune.structures import IGNORE_INDEX, Span


def like_llama2() -> PreTrainedTokenizerFast:
    """A tokenizer that, as SentencePiece does, puts a space before every text."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator([*LINES, "Hi Hello abc"], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def encode(tokenizer, *spans) -> tuple[list[str], list[str]]:
    """The tokens of one sample, before the first trained one and from there on."""
    sample = Encoder(tokenizer)([[Span(*span) for span in spans]])[0]
    first = int(np.argmax(sample.labels != IGNORE_INDEX))
    tokens = tokenizer.convert_ids_to_tokens(sample.input_ids.tolist())
    return tokens[:first], tokens[first:]


def test_labels_are_the_ids_where_trained_and_the_tail_is_cut():
    tokenizer = tiny_tokenizer()
    spans = [Span("user\nHi", False), Span("Four.</s>", True), Span("\n", False)]
    sample = Encoder(tokenizer)([spans])[0]
    prompt = tokenizer.encode("user\nHi")
    answer = tokenizer.encode("Four.</s>")
    assert sample.input_ids.tolist() == prompt + answer
    assert sample.labels.tolist() == [IGNORE_INDEX] * len(prompt) + answer
    assert sample.input_ids.dtype == sample.labels.dtype == np.int32


def test_token_that_would_reach_over_the_border_is_split_there():
    tokenizer = tiny_tokenizer()
    assert tokenizer.tokenize("\n\n") == ["ĊĊ"]
    prompt, answer = encode(tokenizer, ("user\n", False), ("\n</s>", True))
    assert prompt == ["user", "Ċ"]
    assert answer == ["Ċ", "</s>"]


def test_prompt_is_split_as_it_is_alone():
    tokenizer = tiny_tokenizer()
    assert tokenizer.tokenize("</s>\n\n") == ["</s>", "ĊĊ"]
    assert tokenizer.tokenize("</s>\n\nx") == ["</s>", "Ċ", "Ċ", "x"]
    prompt, answer = encode(tokenizer, ("</s>\n\n", False), ("x</s>", True))
    assert prompt == ["</s>", "ĊĊ"]
    assert answer == ["x", "</s>"]


def test_continuation_gets_no_space_that_only_a_first_text_gets():
    tokenizer = like_llama2()
    assert tokenizer.tokenize("abc")[0].startswith("▁")
    # 'ab' + 'c' straddles: with the pieces apart, 'c' must still be 'c', not '▁c'.
    prompt, answer = encode(tokenizer, ("ab", False), ("c</s>", True))
    assert prompt == tokenizer.tokenize("ab")
    assert answer == ["c", "</s>"]


def test_slow_tokenizer_is_tokenised_span_by_span():
    tokenizer = ByT5Tokenizer()
    assert not tokenizer.is_fast
    prompt, answer = encode(tokenizer, ("é?", False), ("a</s>", True), ("\n", False))
    assert prompt == [chr(0xC3), chr(0xA9), "?"]
    assert answer == ["a", "</s>"]


def test_border_inside_a_character_of_several_tokens_is_found():
    prompt, answer = encode(tiny_tokenizer(), ("👍", False), ("👍", True))
    assert len(prompt) == len(answer) == 4
    assert prompt == answer


def test_first_token_is_no_label_and_nothing_trained_is_nothing():
    ids = np.arange(4, dtype=np.int32)
    assert sample_of(ids, np.ones(4, dtype=bool)).labels.tolist() == [IGNORE_INDEX, 1, 2, 3]
    assert len(sample_of(ids, np.zeros(4, dtype=bool))) == 0


@pytest.mark.parametrize("tokenizer", [tiny_tokenizer(), like_llama2(), ByT5Tokenizer()])
def test_empty_chunk(tokenizer):
    assert Encoder(tokenizer)([]) == []
