"""The count of model FLOPs: against torch's own counter, published sizes, and by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.models.packs import pack, random_documents
from xtune.models import build_model, choose_precision
from xtune.models.flops import Work, count_work

FP32 = choose_precision("cpu", "fp32")
LENGTHS = [96, 7, 40, 64]
LORA = {"type": "LoraConfig", "r": 8}
UPPER_HALF = LORA | {"layers_to_transform": [4, 5, 6, 7]}
HEAD_TOO = LORA | {"modules_to_save": ["lm_head"]}


def build(folder, adapter, device=None, **changes):
    llm = {"type": "CausalLM", "pretrained_model_name_or_path": str(folder)}
    cfg = {"type": "SupervisedFinetune", "llm": llm, "adapter": adapter} | changes
    return build_model(cfg, device=device, precision=FP32)


def measured(model, batch) -> float:
    """What torch multiplies in one step, of attention the half that is not masked.

    On a CPU its counter does not know the fused attention, so attention is done with plain
    products: they are the only batched ones, and compute the masked half too.
    """
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(batch, normalizer=batch.trained_tokens)["loss"].backward()
    by_kind = {str(kind): flops for kind, flops in counter.get_flop_counts()["Global"].items()}
    attention = sum(flops for kind, flops in by_kind.items() if "bmm" in kind)
    assert attention > 0
    return sum(by_kind.values()) - attention / 2


def counted(model, batch) -> float:
    return count_work(model).flops(batch.cu_seqlens.diff().tolist(), batch.trained_tokens)


@pytest.mark.parametrize("trained", [0.3, 1.0])
@pytest.mark.parametrize(
    "adapter", [None, LORA, UPPER_HALF, HEAD_TOO], ids=["full", "lora", "upper", "head"]
)
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.filterwarnings("ignore:.*tie_word_embeddings")
def test_it_is_what_torch_counts(tiny_family, adapter, trained, tied):
    folder = tiny_family("llama", width=64, layers=8, tied=tied)
    model = build(folder, adapter)
    batch = pack(random_documents(LENGTHS, trained=trained))
    assert counted(model, batch) == pytest.approx(measured(model, batch), rel=0.03)


@pytest.mark.parametrize("adapter", [None, LORA], ids=["full", "lora"])
def test_recomputation_is_not_counted(tiny_family, adapter):
    folder = tiny_family("llama", width=64, layers=8)
    batch = pack(random_documents(LENGTHS))
    plain, again = (build(folder, adapter, gradient_checkpointing=on) for on in (False, True))
    assert counted(again, batch) == counted(plain, batch)
    assert measured(again, batch) > 1.2 * measured(plain, batch)


def test_no_token_outside_a_document_and_no_untrained_position_of_the_head_costs_anything():
    work = Work(body=1.0, head=10.0, attention={None: 4})
    assert work.flops([], 0) == 0
    assert work.flops([3], 0) == 2 * (3 + 4 * 9 / 2)
    assert work.flops([3, 3], 5) == 2 * (6 + 50 + 4 * 9)  # not 6 x 6: two documents
    assert work.flops([6], 5) == 2 * (6 + 50 + 4 * 18)


def test_a_window_is_a_triangle_and_then_a_band():
    work = Work(body=0, head=0, attention={4: 1, None: 1})
    assert work.flops([3], 0) == 2 * (4.5 + 4.5)
    assert work.flops([10], 0) == 2 * (8 + 6 * 4 + 50)


# Parameters that a token passes through, in billions, as the models' authors state them, and what
# of it is the embedding, which is no product: the last two do not count it.
ACTIVE = {
    "meta-llama/Llama-2-7b-hf": (6.74, 0.131),
    "mistralai/Mixtral-8x7B-v0.1": (12.9, 0.131),
    "Qwen/Qwen3-30B-A3B-Base": (3.3, 0.311),
    "deepseek-ai/DeepSeek-V2-Lite": (2.4, 0.0),
    "openai/gpt-oss-20b": (3.6, 0.0),
}


@pytest.mark.parametrize("name", ACTIVE)
def test_of_experts_only_those_that_a_token_takes(name):
    stated, embedding = ACTIVE[name]
    work = count_work(build(name, None, device="meta"))
    assert (work.body + work.head) / 3e9 + embedding == pytest.approx(stated, rel=0.04)


@pytest.mark.parametrize(
    ("adapter", "trained", "giga"),
    [(None, 4096, 48.2), (LORA | {"r": 16}, 4096, 33.5), (LORA | {"r": 16}, 1229, 32.0)],
)
def test_llama_3_1_8b_at_4096_is_what_was_computed_elsewhere(adapter, trained, giga):
    """N = 7.50 B, A = 1.07 GFLOP a token: 6 N + 3 A; 4 N + 3 A + 0.25 with LoRA r=16."""
    work = count_work(build("meta-llama/Llama-3.1-8B", adapter, device="meta"))
    assert work.flops([4096], trained) / 4096 / 1e9 == pytest.approx(giga, rel=0.01)


@pytest.mark.parametrize("quantization", [None, {"bits": 4}], ids=["bf16", "nf4"])
def test_four_bit_weights_count_as_what_they_stand_for(tiny_family, quantization):
    folder = tiny_family("llama", width=64, layers=2)
    llm = {"type": "CausalLM", "pretrained_model_name_or_path": str(folder)}
    model = build(folder, LORA, llm=llm | {"quantization": quantization})
    assert count_work(model) == count_work(build(folder, LORA, device="meta"))
    assert all(torch.isfinite(p).all() for p in model.parameters() if p.requires_grad)
