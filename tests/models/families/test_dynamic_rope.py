"""Frequencies that depend on a document's length, against the formula by hand."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig

from xtune.errors import ModelError
from xtune.models.families.architectures.dynamic_rope import (
    DynamicRotaryEmbedding,
    document_lengths,
)
from xtune.models.families.llama_like import rope_parameters

WIDTH, TRAINED, BASE, FACTOR = 8, 10, 1e4, 2.0


@pytest.fixture
def rotary():
    return DynamicRotaryEmbedding(
        LlamaConfig(
            hidden_size=2 * WIDTH,
            num_attention_heads=2,
            max_position_embeddings=TRAINED,
            rope_parameters={"rope_type": "dynamic", "rope_theta": BASE, "factor": FACTOR},
        )
    )


def by_hand(position, length):
    base = BASE
    if length > TRAINED:
        base *= (FACTOR * length / TRAINED - (FACTOR - 1)) ** (WIDTH / (WIDTH - 2))
    angles = [position * base ** (-2 * i / WIDTH) for i in range(WIDTH // 2)]
    return torch.tensor(angles * 2, dtype=torch.float64).cos().float()


def cosines(rotary, positions):
    return rotary(torch.zeros(1), torch.tensor([positions]))[0][0]


def test_lengths_of_documents():
    positions = torch.tensor([[0, 1, 2, 0, 1, 0], [1, 1, 0, 1, 2, 3]])  # packed; left-padded
    assert document_lengths(positions).tolist() == [[3, 3, 3, 2, 2, 1], [2, 2, 4, 4, 4, 4]]
    assert document_lengths(torch.tensor([[7], [3]])).tolist() == [[8], [4]]  # cached steps


@pytest.mark.parametrize("length", [3, 10, 11, 25])
def test_each_document_by_its_own_length_whatever_came_before(rotary, length):
    for earlier in (40, 5):
        cosines(rotary, list(range(earlier)))
    row = [*range(30), *range(length)]
    expected = [by_hand(p, 30) for p in range(30)] + [by_hand(p, length) for p in range(length)]
    torch.testing.assert_close(cosines(rotary, row), torch.stack(expected), rtol=0, atol=2e-5)


def test_a_cached_step_is_scaled_by_the_length_so_far(rotary):
    torch.testing.assert_close(cosines(rotary, [24])[0], by_hand(24, 25), rtol=0, atol=2e-5)


def test_the_published_settings():
    plain = {"rope_type": "default", "rope_theta": 1e6}
    assert rope_parameters({}, "X", default_base=1e6) == plain
    assert rope_parameters({"rope_theta": 1e6, "rope_scaling": None}, "X") == plain
    dynamic = {"rope_scaling": {"type": "dynamic", "factor": 2.0}}
    assert rope_parameters(dynamic, "X")["rope_type"] == "dynamic"
    with pytest.raises(ModelError, match="X with rope_scaling of type 'su'"):
        rope_parameters({"rope_scaling": {"type": "su", "factor": 2.0}}, "X")
