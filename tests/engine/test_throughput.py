"""A step's rates: one device or several, a GPU that is known or not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from tests.models.packs import pack, random_documents
from tests.tiny import write_tiny_llama
from xtune.engine.throughput import Throughput
from xtune.models import build_model, choose_precision
from xtune.models.flops import count_work
from xtune.parallel.world import World

STEP = {"tokens": 1000, "trained": 400, "flops": 6e12, "seconds": 2.0}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = write_tiny_llama(tmp_path_factory.mktemp("models") / "llama")
    llm = {"type": "CausalLM", "pretrained_model_name_or_path": str(folder)}
    return build_model({"type": "SupervisedFinetune", "llm": llm}, device="meta")


def throughput(model, *, devices=1, device="cpu", precision="fp32"):
    strategy = SimpleNamespace(
        world=World(size=devices),
        device=torch.device(device),
        precision=choose_precision(device, precision),
    )
    return Throughput(model, strategy)


def test_one_device(model):
    assert throughput(model).rates(**STEP) == {
        "tokens_per_s": 500.0,
        "trained_tokens_per_s": 200.0,
        "tflops_per_device": 3.0,
    }


def test_several_devices(model):
    rates = throughput(model, devices=4).rates(**STEP)
    assert rates["tokens_per_s"] == 500.0
    assert rates["tokens_per_s_per_device"] == 125.0
    assert rates["tflops_per_device"] == 0.75


@pytest.mark.parametrize(
    ("name", "precision", "mfu"),
    [
        ("NVIDIA A100-SXM4-80GB", "bf16", 3.0 / 312),
        ("NVIDIA A100-SXM4-80GB", "fp32", None),  # its peak in fp32 is another
        ("NVIDIA X1000", "bf16", None),
    ],
)
def test_the_share_of_a_known_peak(model, monkeypatch, name, precision, mfu):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    rates = throughput(model, device="cuda", precision=precision).rates(**STEP)
    assert rates.get("mfu") == (None if mfu is None else pytest.approx(mfu))


def test_the_work_of_micro_batches_is_that_of_their_documents(model):
    one, other = random_documents([5, 9], seed=1), random_documents([30], seed=2)
    trained = sum(pack(documents).trained_tokens for documents in (one, other))
    flops = throughput(model).flops([pack(one), pack(other)])
    assert flops == count_work(model).flops([5, 9, 30], trained)
    assert flops == throughput(model).flops([pack(one + other)])
    assert throughput(model).flops([]) == 0


def test_a_prompt_of_several_answers_is_work_once(model):
    (prompt, _), *ends = random_documents([20, 4, 6])
    documents = [
        (torch.cat([prompt, ids]), torch.cat([torch.full((20,), -100), labels]))
        for ids, labels in ends
    ]
    answers = pack(documents)
    answers.per_document["side"] = torch.tensor([0, 1])
    trained = answers.trained_tokens
    flops = throughput(model).flops([answers])
    assert flops == count_work(model).flops([24, 26], trained, shared=[0, 20])
    assert flops < 0.7 * throughput(model).flops([pack(documents)])
