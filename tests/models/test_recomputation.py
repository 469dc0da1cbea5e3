"""Layers that are computed again: the same loss and gradients, fewer bytes kept."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig

from tests.models.packs import pack, random_documents
from tests.models.test_sft import gradients, stirred
from xtune.errors import ConfigError, ModelError
from xtune.models import SupervisedFinetune, load_model

LAYERS, WIDTH = 4, 64
BATCH = pack(random_documents([5, 1, 17, 30, 2, 9]))
FAMILIES = {
    "llama": {},
    "qwen2": {},  # biases on q, k and v
    "mistral": {"sliding_window": 8},
}
LORA = LoraConfig(r=4, target_modules="all-linear")


@pytest.fixture
def build(tiny_family):
    def build(family, kind, **settings):
        folder = tiny_family(family, layers=LAYERS, width=WIDTH, **FAMILIES[family])
        quantization = {"bits": 4, "compute_dtype": "fp32"} if kind == "nf4" else None
        torch.manual_seed(0)
        llm = load_model(str(folder), dtype="fp32", quantization=quantization)
        adapter = None if kind == "full" else LORA
        return stirred(SupervisedFinetune(llm, adapter=adapter, **settings))

    return build


def step(model):
    """Return the loss, and the bytes of activations that are kept on the device until backward."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(BATCH, normalizer=10)["loss"]
    loss.backward()
    return loss.detach(), sum(kept.values())


@pytest.mark.parametrize("kind", ["full", "lora", "nf4"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_policy_gives_the_loss_and_gradients_of_the_plain_run(build, family, kind):
    plain = build(family, kind)
    expected, most = step(plain)
    expected_gradients = gradients(plain)
    for policy, offload in [(3, False), (2, False), (True, False), (2, True), (True, True)]:
        model = build(family, kind, gradient_checkpointing=policy, activation_offload=offload)
        loss, kept = step(model)
        assert torch.equal(loss, expected)
        assert kept < most
        for name, grad in gradients(model).items():
            assert torch.equal(grad, expected_gradients[name]), (policy, offload, name)


@pytest.mark.parametrize("kind", ["full", "lora", "nf4"])
def test_the_bytes_that_each_policy_keeps(build, kind):
    def kept(**settings):
        return step(build("llama", kind, **settings))[1]

    plain, third, half, inputs = (
        kept(gradient_checkpointing=policy) for policy in (False, 3, 2, True)
    )
    # Layers 0 and 3 of four are the first of every three, 0 and 2 the first of every two.
    assert third == half
    one_layer = (plain - half) / 2
    # A layer's output is kept once, whether that layer keeps it or the next one.
    assert half - inputs == pytest.approx(2 * one_layer, rel=0.06)
    assert plain - inputs == pytest.approx(LAYERS * one_layer, rel=0.06)
    assert inputs < plain / 4
    of_inputs = LAYERS * WIDTH * BATCH.input_ids.numel() * 4
    offloaded = kept(gradient_checkpointing=True, activation_offload=True)
    # What remains is outside the layers: the last norm's, the head's and the rotary embedding's.
    assert inputs - offloaded == pytest.approx(of_inputs, rel=0.01)


@pytest.mark.parametrize(
    ("policy", "chosen"), {False: [], 3: [0, 3], 2: [0, 2], 1: [0, 1, 2, 3]}.items()
)
def test_the_layers_that_are_computed_again(build, policy, chosen):
    model = build("llama", "lora", gradient_checkpointing=policy)
    calls = dict.fromkeys(range(LAYERS), 0)

    def count(number):  # before the call: computing again stops once all is there that was kept
        calls[number] += 1

    for number, layer in enumerate(model.llm.get_base_model().model.layers):
        layer.mlp.register_forward_pre_hook(lambda *_, number=number: count(number))
    step(model)
    assert [number for number, times in calls.items() if times == 2] == chosen
    assert set(calls.values()) <= {1, 2}


def test_nothing_below_the_lowest_trained_layer_is_computed_again(build, tiny_family):
    folder = tiny_family("llama", layers=LAYERS, width=WIDTH)
    upper = LoraConfig(r=4, target_modules=["q_proj"], layers_to_transform=[2, 3])
    llm = load_model(str(folder), dtype="fp32")
    model = stirred(SupervisedFinetune(llm, adapter=upper, gradient_checkpointing=True))
    times = []
    for layer in model.llm.get_base_model().model.layers:
        layer.mlp.register_forward_pre_hook(lambda *_, layer=layer: times.append(layer.self_attn))
    step(model)
    layers = [layer.self_attn for layer in model.llm.get_base_model().model.layers]
    assert [times.count(layer) for layer in layers] == [1, 1, 2, 2]


def test_offload_of_nothing_and_impossible_policies_are_refused(build):
    with pytest.raises(ConfigError, match="there are none: set gradient_checkpointing"):
        build("llama", "lora", activation_offload=True)
    with pytest.raises(ConfigError, match="gradient_checkpointing=-1; allowed are False, True"):
        build("llama", "lora", gradient_checkpointing=-1)


def test_a_family_that_cannot_compute_its_layers_again_says_so(build, monkeypatch):
    llm = build("llama", "full").llm
    monkeypatch.setattr(llm, "supports_gradient_checkpointing", False, raising=False)
    with pytest.raises(ModelError, match="Set gradient_checkpointing=False"):
        SupervisedFinetune(llm, gradient_checkpointing=True)


def test_offload_on_a_cpu_says_that_it_gains_nothing(build, caplog):
    with caplog.at_level("WARNING", logger="xtune.models"):
        build("llama", "lora", gradient_checkpointing=True, activation_offload=True)
    assert "gains nothing here: the device is a CPU" in caplog.text


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_offload_takes_the_inputs_off_the_gpu(tiny_family):
    folder = tiny_family("llama", layers=LAYERS, width=256)
    batch = pack(random_documents([1024] * 4)).to("cuda")
    allocated = {}
    for offload in (False, True):
        llm = load_model(str(folder), dtype="bf16", device="cuda")
        model = SupervisedFinetune(
            llm, adapter=LORA, gradient_checkpointing=True, activation_offload=offload
        )
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = model(batch, normalizer=10)["loss"]
        allocated[offload] = torch.cuda.memory_allocated()
        loss.backward()
        del model, llm, loss
    inputs = LAYERS * 256 * 4096 * 2
    assert allocated[False] - allocated[True] == pytest.approx(inputs, rel=0.1)
