"""In bf16 on a CPU a token gets the same bits alone and next to others, at once and in pieces."""

from __future__ import annotations

import random

import pytest
import torch

from tests.tiny import write_tiny_model
from xtune.generation.cache_form import EightBits, PromptCache, Whole
from xtune.generation.forward import ModelForward
from xtune.generation.live_rows import LiveRows
from xtune.generation.row import Row
from xtune.generation.settings import GenerationSettings
from xtune.models import generation_mode, load_model
from xtune.models.attention.alike import NAME, alike_attention
from xtune.models.onednn_weights import pack_weights

WIDE = {
    "hidden_size": 192,
    "intermediate_size": 1600,  # oneDNN splits the sum of a single row of so many
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 512,
}
FAMILIES = {
    "llama": {},
    "mistral": {"sliding_window": 24},
    "qwen3": {"num_key_value_heads": 6},
    "gemma3_text": {"sliding_window": 24},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    made = {}

    def make(family):
        if family not in made:
            folder = tmp_path_factory.mktemp(family)
            settings = {**WIDE, **FAMILIES[family]}
            write_tiny_model(folder, family, **settings)
            made[family] = load_model(str(folder), dtype="bf16")
            made[family].eval()
            pack_weights(made[family])
        return made[family]

    return make


class Words:
    """An answer that only counts: what ends it is the limit."""

    ended_by = "length"
    tokens = 0

    def push(self, token):
        self.tokens += 1
        return ""


def rows(count, tokens=24):
    """Prompts of 1 to 150 tokens, some of which begin alike, half of the answers sampled."""
    dice = random.Random(1)
    shots = tuple(dice.choices(range(3, 380), k=70))
    made = []
    for number in range(count):
        own = tuple(dice.choices(range(3, 380), k=dice.randint(1, 80)))
        settings = GenerationSettings(tokens, temperature=number % 2, seed=number)
        made.append(Row((shots if number % 3 else ()) + own, Words, settings, alternatives=3))
    return made


def answers(llm, asked, **settings):
    """The tokens of each row and, bit for bit, how likely they were."""
    with generation_mode(llm, alike=True):
        assert llm.config._attn_implementation == NAME
        forward = ModelForward(llm, torch.device("cpu"))
        live = LiveRows(forward, torch.device("cpu"), 0, from_start=True, **settings)
        live.add(asked)
        while live.busy:
            live.step()
    return [row.noted for row in asked]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("form", [Whole(), EightBits()], ids=["whole", "8 bits"])
def test_an_answer_alone_is_bit_for_bit_the_one_among_others(models, family, form):
    llm = models(family)
    alone = [answers(llm, rows(32)[at : at + 1], slots=1, form=form)[0] for at in range(32)]
    assert len(set(map(tuple, alone))) == 32
    for others in (1, 7, 31):
        assert answers(llm, rows(32), slots=1 + others, form=form) == alone
    pieces = {"slots": 4, "prompt_tokens": 16, "kept_tokens": 500}
    assert answers(llm, rows(32), form=form, **pieces) == alone


def test_the_attention_is_that_of_transformers_as_far_as_bf16_tells(models):
    dice = torch.Generator().manual_seed(0)
    query = torch.randn(3, 6, 40, 32, generator=dice)
    key, value = (torch.randn(3, 2, 90, 32, generator=dice) for _ in range(2))
    starts = torch.tensor([0, 17, 60])
    for window in (None, 20):
        at, own = torch.arange(90), torch.arange(50, 90)[:, None]
        seen = (at <= own) & (at >= starts[:, None, None])
        if window is not None:
            seen &= at > own - window
        expected = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=seen[:, None], enable_gqa=True
        ).transpose(1, 2)
        bounds = torch.stack([starts, torch.full((3,), 90)], 1)
        got, _ = alike_attention(
            torch.nn.Module(),
            *(each.bfloat16() for each in (query, key, value)),
            bounds,
            sliding_window=window,
        )
        for row, start in enumerate(starts.tolist()):
            first = max(0, start - 50)  # those before it are padding
            torch.testing.assert_close(
                got[row, first:].float(), expected[row, first:], atol=0.03, rtol=0.03
            )


def test_other_numbers_keep_transformers_attention(models):
    llm = models("llama")
    with generation_mode(llm):
        assert llm.config._attn_implementation == "sdpa"
    llm.float()
    try:
        with generation_mode(llm, alike=True):
            assert llm.config._attn_implementation == "sdpa"
    finally:
        llm.bfloat16()


def test_prompts_in_8_bits_are_what_attention_sees(models):
    llm = models("llama")
    ids = torch.arange(5, 45)[None]
    with generation_mode(llm, alike=True):
        whole, held = PromptCache(Whole()), PromptCache(EightBits())
        exact = llm(input_ids=ids, past_key_values=whole).logits
        rough = llm(input_ids=ids, past_key_values=held).logits
    assert not torch.equal(exact, rough)
    for own, parts in zip(whole.parts, held.parts, strict=True):
        again = EightBits().unpack(parts[:2], torch.float32)
        scale = parts[1].float()
        assert parts[0].dtype == torch.int8
        if own is whole.parts[0]:  # the first layer's are of the same states
            assert ((own[0].float() - again).abs() <= 0.51 * scale).all()
