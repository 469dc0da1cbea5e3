"""Heads: what is tokenised once gives the ids that it gives in every text."""

from __future__ import annotations

import random

import pytest
from tokenizers import AddedToken, normalizers

from tests.data.test_tokenize import like_llama2
from tests.data.tiny_tokenizer import tiny_tokenizer
from xtune.data.common_head import CommonHead
from xtune.data.tokenize import Encoder
from xtune.structures import Span

SYSTEM = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>"
TAILS = ["user\nHi", "user\nHello", "user\n Hi\n\n", "user\n👍é", "", " ", "\n\n", "<|im_end|>x"]


def ids(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False)


def test_head_ends_in_the_last_common_added_token():
    tokenizer = tiny_tokenizer()
    texts = [SYSTEM + tail for tail in TAILS[:4]]
    head = CommonHead(tokenizer)(texts, limit=1000)
    assert head.text == SYSTEM  # 'user\n' is common too, but no added token ends there
    assert head.ids == ids(tokenizer, SYSTEM)
    for text in texts:
        assert head.ids + ids(tokenizer, text.removeprefix(SYSTEM)) == ids(tokenizer, text)


def test_head_is_no_longer_than_the_limit():
    texts = [SYSTEM + tail for tail in TAILS]
    head = CommonHead(tiny_tokenizer())(texts, limit=len(SYSTEM) - 1)
    assert head.text == "<|im_start|>system\nBe brief.<|im_end|>"


@pytest.mark.parametrize("like_llama3", [False, True])
def test_samples_are_those_of_each_dialogue_alone(like_llama3):
    """One text alone has no head, so each is tokenised whole there."""
    tokenizer = tiny_tokenizer(like_llama3=like_llama3)
    draw = random.Random(0)
    for _ in range(30):
        samples = []
        for _ in range(draw.randint(2, 5)):
            prompt = SYSTEM + draw.choice(TAILS)
            answer = draw.choice(["Four.</s>", "\n</s>", "</s>", " é👍</s>", "<|im_end|>"])
            samples.append([Span(prompt, False), Span(answer, True), Span("\n", False)])
        together = Encoder(tokenizer)(samples)
        for spans, sample in zip(samples, together, strict=True):
            alone = Encoder(tokenizer)([spans])[0]
            assert sample.input_ids.tolist() == alone.input_ids.tolist()
            assert sample.labels.tolist() == alone.labels.tolist()


def test_the_head_is_tokenised_once():
    tokenizer = tiny_tokenizer()
    encoder = Encoder(tokenizer)
    seen = []
    backend = tokenizer.backend_tokenizer

    class Counting:
        is_fast, added_tokens_decoder = True, tokenizer.added_tokens_decoder
        backend_tokenizer = backend

        def __call__(self, texts, **options):
            seen.extend(texts)
            return tokenizer(texts, **options)

        def encode(self, text, **options):
            seen.append(text)
            return tokenizer.encode(text, **options)

    encoder._tokenizer = encoder._head._tokenizer = Counting()
    for n in range(20):
        encoder([[Span(f"{SYSTEM}user\n{n}{k}", False), Span("So.</s>", True)] for k in "ab"])
    assert sum(text.count("Be brief.") for text in seen) == 1


def test_texts_that_are_equal_and_all_head():
    tokenizer = tiny_tokenizer()
    samples = [[Span("<s>Hi</s>", True)]] * 3
    for sample in Encoder(tokenizer)(samples):
        assert sample.input_ids.tolist() == ids(tokenizer, "<s>Hi</s>")


def test_no_head_where_another_added_token_could_stand_there():
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([AddedToken("<|im_start|>user", normalized=False)])
    texts = ["<|im_end|>a<|im_start|>user", "<|im_end|>a<|im_start|>system"]
    assert CommonHead(tokenizer)(texts, limit=99).text == ""


def test_no_head_after_a_token_that_takes_the_space_behind_it():
    tokenizer = tiny_tokenizer(without=("<|im_start|>",))
    tokenizer.add_tokens([AddedToken("<|im_start|>", normalized=False, rstrip=True)])
    assert CommonHead(tokenizer)(["<|im_start|> a", "<|im_start|> b"], limit=99).text == ""


@pytest.mark.parametrize(
    "normalizer", [normalizers.Prepend("▁"), normalizers.Replace("a", "b"), normalizers.Lowercase()]
)
def test_no_heads_where_a_step_is_not_known_to_look_at_its_piece_alone(normalizer):
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizer])
    assert CommonHead(tokenizer)([SYSTEM + "a", SYSTEM + "b"], limit=99).text == ""
    assert CommonHead(like_llama2())(["</s>a", "</s>b"], limit=99).text == ""
