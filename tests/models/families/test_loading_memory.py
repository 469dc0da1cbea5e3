"""A fused checkpoint of several shards is loaded tensor by tensor, not whole.

Measured in a process of its own: the most anonymous memory while `load_model` runs, over what
there was before. Pages of the mapped files do not count, since the kernel takes them back when
it needs them. glibc keeps freed blocks of up to 32 MiB, which the tensors of this small model
are and those of a 7B model are not; MALLOC_MMAP_THRESHOLD_ makes it give them back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.models.families.cases import internlm2
from tests.models.families.published import write_checkpoint

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").is_file(), reason="reads Linux's /proc"
)
WIDTH, INNER, LAYERS, VOCAB = 1024, 2816, 4, 4096
MIB = 2**20

MEASURE = """
import json, sys, threading, time
from xtune.models import load_model

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(row.split()[1]) for row in status if row.startswith("RssAnon")) * 1024

def load(folder, dtype, bits):
    quantization = {"bits": 4, "compute_dtype": "bf16"} if bits else None
    return load_model(folder, dtype=dtype, quantization=quantization)

def measure(folder, dtype, bits):
    before = peak = anonymous()
    done = threading.Event()

    def watch():
        nonlocal peak
        while not done.is_set():
            peak = max(peak, anonymous())
            time.sleep(0.0005)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    llm = load(folder, dtype, bits)
    done.set()
    watcher.join()
    return peak - before, sum(w.numel() * w.element_size() for w in llm.state_dict().values())

*folders, small = sys.argv[1:]
load(small, "bf16", 4)  # imports what loading needs
for folder in folders:
    print(json.dumps([measure(folder, *how) for how in (("bf16", 0), ("fp32", 0), ("bf16", 4))]))
"""


def config(width, inner, layers, vocab):
    sizes = {"hidden_size": width, "intermediate_size": inner, "vocab_size": vocab}
    heads = {"num_attention_heads": width // 64, "num_key_value_heads": width // 128}
    return internlm2.CONFIG | sizes | heads | {"num_hidden_layers": layers}


def weights(width, inner, layers, vocab):
    """bf16, under InternLM2's names: 106 MiB, 15 % of it fused."""

    def matrix(*shape):
        return torch.full(shape, 0.02, dtype=torch.bfloat16)

    found = {
        "model.tok_embeddings.weight": matrix(vocab, width),
        "model.norm.weight": matrix(width),
        "output.weight": matrix(vocab, width),
    }
    for layer in range(layers):
        found |= {
            f"model.layers.{layer}.{name}.weight": matrix(*shape)
            for name, shape in {
                "attention.wqkv": (2 * width, width),
                "attention.wo": (width, width),
                "feed_forward.w1": (inner, width),
                "feed_forward.w3": (inner, width),
                "feed_forward.w2": (width, inner),
                "attention_norm": (width,),
                "ffn_norm": (width,),
            }.items()
        }
    return found


def test_loading_holds_the_model_and_a_few_tensors(tmp_path):
    size, small = (WIDTH, INNER, LAYERS, VOCAB), (128, 128, 1, 384)
    content = weights(*size)
    folders = [
        write_checkpoint(tmp_path / form, config(*size), content, form=form, shards=4)
        for form in ("safetensors", "bin")
    ]
    folders.append(write_checkpoint(tmp_path / "small", config(*small), weights(*small)))
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, folders)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": str(MIB), "OMP_NUM_THREADS": "1"},
    )
    stored = sum(w.numel() * w.element_size() for w in content.values())
    fused, largest = LAYERS * 2 * WIDTH * WIDTH, VOCAB * WIDTH  # numbers
    for form in run.stdout.splitlines()[-2:]:
        (plain, _), (cast, cast_model), (quantized, quantized_model) = json.loads(form)
        # As stored: only q, k and v are new, the rest stays in the mapped files
        assert plain < fused * 2 + 2 * largest * 2 + 8 * MIB, form
        # Cast: transformers' threads may have read all that is fused before any of it is split
        assert cast < cast_model + fused * 4 + 2 * largest * 4, form
        # Quantized: one after the other, with fp32 copies of the one at work
        assert quantized < min(quantized_model + 2 * largest * 4, 0.7 * stored), form
