"""python -m tests.generation.two_ranks MODEL OUT: what two processes do that share a model.

Rank 0 has three prompts and rank 1 one; each writes its answers and the number of its passes.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch

from xtune.generation.continuous import generate_texts
from xtune.generation.requests import GenerationRequest
from xtune.models import load_model, load_tokenizer

PROMPTS = [[(10, 11, 12), (40, 41), (50, 51, 52, 53, 54)], [(60, 61, 62, 63)]]
LENGTHS = [[3, 9, 4], [2]]


def main(folder: str, out: str, slots: str) -> None:
    torch.distributed.init_process_group("gloo")
    rank = int(os.environ["RANK"])
    llm = load_model(folder, dtype="fp32")
    passes = []
    llm.register_forward_pre_hook(lambda *_: passes.append(1))
    requests = [
        GenerationRequest(prompt, max_new_tokens=most)
        for prompt, most in zip(PROMPTS[rank], LENGTHS[rank], strict=True)
    ]
    texts = generate_texts(llm, load_tokenizer(folder), requests, slots=int(slots), together=True)
    said = {"texts": [text.text for text in texts], "passes": len(passes)}
    Path(out, f"{rank}.json").write_text(json.dumps(said), encoding="utf-8")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
