"""Rows beyond the trained length: padded, with a cache, and Qwen 1's own rules for them.

test_proofs.py has whole rows and packs, test_dynamic_rope.py the formula.
"""

from __future__ import annotations

import copy
import json
import math

import pytest
import torch
from transformers import DynamicCache, LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from tests.models.families.cases import internlm2, qwen
from tests.models.families.published import read_checkpoint
from xtune.errors import ModelError
from xtune.models import load_config, load_model
from xtune.models.families.architectures.dynamic_rope import (
    DynamicRotaryEmbedding,
)
from xtune.models.families.architectures.qwen_long import NtkRotaryEmbedding

TRAINED, FACTOR, BASE, WIDTH = 16, 2.0, 1e6, 16


@pytest.fixture
def rotary():
    return DynamicRotaryEmbedding(llama(rope_type="dynamic", factor=FACTOR))


@pytest.fixture(scope="module")
def ids():
    return torch.randint(3, 384, (30,), generator=torch.Generator().manual_seed(3))


def llama(**rope):
    return LlamaConfig(
        hidden_size=64,
        num_attention_heads=4,
        max_position_embeddings=TRAINED,
        rope_parameters={"rope_theta": BASE, **rope},
    )


def expected_angles(length):
    """By hand, for a document alone: [length, WIDTH/2] in float64."""
    base = BASE
    if length > TRAINED:
        base *= (FACTOR * length / TRAINED - (FACTOR - 1)) ** (WIDTH / (WIDTH - 2))
    frequencies = [base ** (-2 * i / WIDTH) for i in range(WIDTH // 2)]
    return torch.tensor([[p * f for f in frequencies] for p in range(length)], dtype=torch.float64)


def positions(*lengths):
    return torch.cat([torch.arange(length) for length in lengths])[None]


def cosines(rotary, position_ids):
    return rotary(torch.zeros(1), position_ids)[0]


# The module


def test_up_to_the_trained_length_it_is_the_plain_embedding(rotary):
    plain = LlamaRotaryEmbedding(llama(rope_type="default"))
    rows = positions(TRAINED, 3)
    torch.testing.assert_close(cosines(rotary, rows), plain(torch.zeros(1), rows)[0])


def test_rows_padded_on_the_left_are_as_each_alone(rotary):
    padded = torch.stack([torch.cat([torch.zeros(20).long(), torch.arange(10)]), torch.arange(30)])
    together = cosines(rotary, padded)
    torch.testing.assert_close(together[:1, 20:], cosines(rotary, positions(10)), rtol=0, atol=0)
    torch.testing.assert_close(together[1:], cosines(rotary, positions(30)), rtol=0, atol=0)


def test_any_device_and_dtype():
    with torch.device("meta"):
        rotary = DynamicRotaryEmbedding(llama(rope_type="dynamic", factor=FACTOR))
    rotary = rotary.to_empty(device="cpu").to(torch.bfloat16)
    cos, sin = rotary(torch.zeros(1, dtype=torch.bfloat16), positions(2000))
    assert cos.dtype == sin.dtype == torch.bfloat16
    expected = expected_angles(2000).repeat(1, 2).cos()  # computed in fp32: 2000 rad is exact to
    torch.testing.assert_close(cos[0].double(), expected, rtol=0, atol=2**-8)  # 1e-4, bf16 to 2^-9
    assert rotary(torch.zeros(1, device="meta"), positions(3).to("meta"))[0].is_meta


@pytest.mark.parametrize(
    ("length", "growth"), [(1, 1), (8, 1), (9, 3), (16, 3), (17, 7), (32, 7), (33, 15)]
)
def test_qwens_growth_doubles_in_steps(length, growth):
    rotary = NtkRotaryEmbedding(qwen_rope(seq_length=8)).eval()
    by_hand = max(2 ** math.ceil(math.log2(length / 8) + 1) - 1, 1)
    assert growth == by_hand
    assert rotary.growth(positions(length)).unique().tolist() == [growth]
    assert rotary.train().growth(positions(length)).unique().tolist() == [1]


def qwen_rope(**settings):
    config = llama(rope_type="default")
    for name, value in settings.items():
        setattr(config, name, value)
    return config


# Models


def stepwise(llm, ids, *, prompt=1, cache=None):
    """Logits of the prompt at once and then of one token after the other, with a cache."""
    cache = DynamicCache(config=llm.config) if cache is None else cache
    pieces = [ids[:prompt], *ids[prompt:].split(1)]
    with torch.no_grad():
        return torch.cat(
            [llm(p[None], past_key_values=cache, use_cache=True).logits[0] for p in pieces]
        )


def assert_close(actual, expected):
    assert float((actual.double() - expected).abs().max() / expected.abs().max()) < 2e-4


def answers(llm, rows, tokens=4):
    """What `generate` says to each row alone, and to all of them padded on the left."""
    settings = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False}
    settings["pad_token_id"] = 0
    alone = [llm.generate(row[None], **settings)[0, len(row) :].tolist() for row in rows]
    longest = max(map(len, rows))
    batch, mask = torch.zeros(2, len(rows), longest, dtype=torch.long)
    for index, row in enumerate(rows):
        batch[index, longest - len(row) :], mask[index, longest - len(row) :] = row, 1
    together = llm.generate(batch, attention_mask=mask, **settings)[:, longest:].tolist()
    return alone, together


@pytest.fixture(scope="module")
def internlm(tmp_path_factory):
    config = internlm2.DYNAMIC | {"max_position_embeddings": TRAINED}
    folder = internlm2.write(tmp_path_factory.mktemp("internlm2"), config)
    return load_model(str(folder), dtype="fp32"), read_checkpoint(folder)


@pytest.fixture(scope="module")
def long_qwen(tmp_path_factory):
    folder = qwen.write(tmp_path_factory.mktemp("qwen"), qwen.LONG)
    return load_model(str(folder), dtype="fp32"), read_checkpoint(folder)


def test_a_cached_step_takes_the_length_so_far_and_keys_keep_theirs(internlm, ids, monkeypatch):
    """As the original: a key stays as it was rotated when it came."""
    llm, (config, weights) = internlm
    by_step = torch.stack([expected_angles(step + 1)[step] / max(step, 1) for step in range(30)])
    monkeypatch.setattr(internlm2, "rope_frequencies", lambda width, base: by_step)
    expected = internlm2.reference(config, weights, ids)
    assert_close(stepwise(llm, ids), expected)


def test_a_long_and_a_short_row_answer_as_alone(internlm, long_qwen, ids):
    for llm, _ in (internlm, long_qwen):
        alone, together = answers(llm, [ids[:5], ids[:30], ids[4:19]])
        assert together == alone


@pytest.mark.parametrize(("prompt", "growth"), [(12, 1), (13, 3), (24, 3), (25, 7)])
def test_qwen_goes_on_with_the_frequencies_of_its_prompt(
    long_qwen, ids, monkeypatch, prompt, growth
):
    llm, (config, weights) = long_qwen
    base = 10000.0 * growth ** (16 / 14)
    plain = qwen.rope_frequencies(16, base)
    monkeypatch.setattr(qwen, "rope_frequencies", lambda width, base: plain)
    expected = qwen.reference(config, weights, ids)
    assert_close(stepwise(llm, ids, prompt=prompt), expected)


def test_qwens_frequencies_go_with_the_cache(long_qwen, ids):
    llm, _ = long_qwen
    first, second = DynamicCache(config=llm.config), DynamicCache(config=llm.config)
    with torch.no_grad():
        llm(ids[None, :25], past_key_values=first)
        branch = copy.deepcopy(first)
        llm(ids[None, :5], past_key_values=second)  # in between, another conversation
        after = [llm(ids[None, 25:26], past_key_values=c).logits for c in (first, branch)]
        alone = stepwise(llm, ids[:26], prompt=25)[-1]
        made_inside = llm(ids[None, :25], use_cache=True).past_key_values
        inside = llm(ids[None, 25:26], past_key_values=made_inside).logits
    for logits in (*after, inside):
        torch.testing.assert_close(logits[0, 0], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("off", ["use_dynamic_ntk", "use_logn_attn"])
def test_qwens_settings_are_two(long_qwen, ids, tmp_path, off):
    _, (_, weights) = long_qwen
    config = qwen.LONG | {off: False}
    folder = qwen.write(tmp_path / "one", config)
    llm = load_model(str(folder), dtype="fp32")
    with torch.no_grad():
        logits = llm(ids[None]).logits[0]
    assert_close(logits, qwen.reference(config, weights, ids))
    both = qwen.reference(qwen.LONG, weights, ids)
    assert float((logits - both).abs().max()) > 0.01 * float(both.abs().max())
    assert load_config(str(folder)).max_position_embeddings == (12 if "ntk" in off else 32768)


def test_qwen_trains_plainly(long_qwen, ids):
    llm, (_, weights) = long_qwen
    plain = qwen.LONG | {"use_dynamic_ntk": False, "use_logn_attn": False}
    llm.train()
    try:
        with torch.no_grad():
            logits = llm(ids[None], use_cache=False).logits[0]
    finally:
        llm.eval()
    assert_close(logits, qwen.reference(plain, weights, ids))


@pytest.mark.parametrize(
    ("name", "value"),
    [("rotary_pct", 0.5), ("no_bias", False), ("use_cache_quantization", True), ("kv_channels", 8)],
)
def test_what_qwen_cannot_compute_is_refused(tmp_path, name, value):
    (tmp_path / "config.json").write_text(json.dumps(qwen.CONFIG | {name: value}))
    with pytest.raises(ModelError, match=f"{name} to {value}"):
        load_config(str(tmp_path))
