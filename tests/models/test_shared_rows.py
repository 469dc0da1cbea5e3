"""Training on rows that several processes share: adapters, checkpointing, and what is refused."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig

from tests.models.packs import pack, random_documents
from tests.models.shared_rows import assert_same, of_whole_and_shared
from tests.models.test_sft import finetune, stirred
from tests.parallel.ranks import on_every_rank
from xtune.errors import ModelError
from xtune.models.self_test import check_slices

ROW = pack(random_documents([5, 1, 17, 30, 2, 8]))  # 63 tokens


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("adapter", ["none", "all-linear", ["q_proj"], ["down_proj"]], ids=str)
def test_losses_and_gradients_of_the_slices_add_up(tiny_llama, adapter, checkpointing, size):
    lora = None if adapter == "none" else LoraConfig(r=4, target_modules=adapter)
    model = stirred(finetune(tiny_llama, lora, gradient_checkpointing=checkpointing))
    assert_same(*of_whole_and_shared(model, ROW, size))


@pytest.mark.parametrize("kv_heads", [1, 3, 6])
@pytest.mark.parametrize("size", [2, 3])
def test_fewer_key_heads_than_processes_and_uneven_ones(tiny_family, kv_heads, size):
    folder = tiny_family("llama", width=48, heads=6, kv_heads=kv_heads)
    assert_same(*of_whole_and_shared(finetune(folder), ROW, size))


def test_a_slice_of_which_nothing_is_trained_still_takes_part(tiny_llama):
    batch = pack(random_documents([20, 21]))
    batch.labels[:, :22] = -100
    model = stirred(finetune(tiny_llama, LoraConfig(r=4)))
    assert_same(*of_whole_and_shared(model, batch, 2))


def test_a_row_of_fewer_tokens_than_processes(tiny_llama):
    row = pack(random_documents([3], trained=1.0))
    assert_same(*of_whole_and_shared(finetune(tiny_llama), row, 4))


class LooksBack(torch.nn.Module):
    """Adds to each token's features those of the token before it."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, hidden):
        return self.inner(hidden + hidden.roll(1, dims=1))


def test_a_model_that_mixes_tokens_outside_its_attention_is_refused(tiny_llama):
    model = finetune(tiny_llama)
    layer = model.llm.model.layers[0]
    layer.mlp = LooksBack(layer.mlp)
    copies = [copy.deepcopy(model) for _ in range(2)]
    with pytest.raises(ModelError, match="looks along the row.*sequence_parallel_size=1"):
        on_every_rank(2, lambda group: check_slices(copies[group.rank], group))
