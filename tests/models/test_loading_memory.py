"""What loading holds at its peak, counted by storage: NF4 shard by shard, no fp32 copies."""

from __future__ import annotations

import weakref

import pytest
import torch
from peft import LoraConfig
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoModelForCausalLM

from tests.models.packs import pack, random_documents
from tests.tiny import write_tiny_llama
from xtune.models import SupervisedFinetune, base_fingerprint, load_model

LAYERS, WIDTH = 8, 256
SMALLEST = WIDTH * WIDTH // 2  # weights of the smallest matrix that is packed: of two key heads


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the storages that operations make, while they are alive.

    `peak` is the most at one time; `fp32` lists the shapes of fp32 tensors as large as a matrix.
    With `sizes` only bf16 tensors of so many bytes count: matrices as the checkpoint has them.
    """

    def __init__(self, sizes=None):
        super().__init__()
        self.sizes = sizes
        self.live = self.peak = 0
        self.fp32 = []
        self._known = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and tensor.device.type == "cpu":
                self._count(tensor)
        return out

    def _count(self, tensor):
        if self.sizes and not (tensor.dtype == torch.bfloat16 and tensor.nbytes in self.sizes):
            return
        storage = tensor.untyped_storage()
        if storage.data_ptr() and storage.data_ptr() not in self._known:
            self._known.add(storage.data_ptr())
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._gone, storage.data_ptr(), storage.nbytes())
            if tensor.dtype == torch.float32 and tensor.numel() >= SMALLEST:
                self.fp32.append(tuple(tensor.shape))

    def _gone(self, pointer, size):
        if pointer in self._known:
            self._known.remove(pointer)
            self.live -= size


def test_the_counter_counts():
    with LiveBytes() as seen:
        one = torch.zeros(1000)  # 4,000 bytes
        two = one + 1  # 8,000
        del one  # 4,000
        three = two.view(10, 100) * 2  # a view is nothing new: 8,000
        del two, three
    assert seen.peak == 8000
    assert seen.live == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint in bf16, in shards of about two layers."""
    folder = tmp_path_factory.mktemp("sharded")
    write_tiny_llama(folder, layers=LAYERS, width=WIDTH)
    llm = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    (folder / "model.safetensors").unlink()
    llm.save_pretrained(folder, max_shard_size="2MB")
    assert len(list(folder.glob("*.safetensors"))) > 3
    return str(folder)


def test_nf4_is_packed_matrix_by_matrix(folder):
    quantization = {"bits": 4, "compute_dtype": "bf16"}
    shapes = [(WIDTH, WIDTH), (WIDTH // 2, WIDTH), (2 * WIDTH, WIDTH)]
    sizes = {2 * rows * columns for rows, columns in shapes}
    with LiveBytes(sizes) as seen:
        llm = load_model(folder, dtype="bf16", quantization=quantization)
    matrices = [m.weight.quant_state.shape.numel() for m in llm.modules() if _is_packed(m)]
    assert len(matrices) == 7 * LAYERS
    assert {2 * size for size in matrices} == sizes
    # One matrix at a time, as read and as cast. (Packing it takes 60 bytes a weight besides on a
    # CPU, where bitsandbytes compares with 15 thresholds; a GPU has a kernel for it.)
    assert max(sizes) <= seen.peak <= 2 * max(sizes)
    assert seen.live == 0
    assert llm.get_input_embeddings().weight.dtype == torch.bfloat16


def test_nothing_frozen_is_ever_whole_in_fp32(folder):
    quantization = {"bits": 4, "compute_dtype": "bf16"}
    llm = load_model(folder, dtype="bf16", quantization=quantization)
    batch = pack(random_documents([9, 7], trained=1.0))
    with LiveBytes() as seen:
        model = SupervisedFinetune(llm, adapter=LoraConfig(r=2, target_modules="all-linear"))
        base_fingerprint(model.llm)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(batch, normalizer=1)["loss"]
        loss.backward()
    assert seen.fp32 == []


def test_training_takes_more_than_loading(folder):
    """So a card that trains a model has loaded it."""
    quantization = {"bits": 4, "compute_dtype": "bf16"}
    with LiveBytes() as loading:
        llm = load_model(folder, dtype="bf16", quantization=quantization)
        model = SupervisedFinetune(llm, adapter=LoraConfig(r=8, target_modules="all-linear"))
    batch = pack(random_documents([256] * 4, trained=1.0))
    held_before = loading.live
    with LiveBytes() as training, torch.autocast("cpu", dtype=torch.bfloat16):
        model(batch, normalizer=1)["loss"].backward()
    assert loading.peak < held_before + training.peak


def _is_packed(module):
    return getattr(getattr(module, "weight", None), "quant_state", None) is not None
