"""A tiny model that has learnt a few dialogues by heart: its answers are known, end token and all.

llm, tokenizer = write_parrot(folder, [("Who are you?", "A parrot.")])
answer_batch(llm, tokenizer, [[{"role": "user", "content": "Who are you?"}]])  # ["A parrot."]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.tiny import write_tiny_llama

__all__ = ["LINES", "write_parrot"]

LINES = [
    ("Who are you?", "A parrot."),
    ("301 miles in km?", '{"name": "convert", "arguments": {"value": 301}}'),
    ("Say it in Greek, please!", "Γεια σου 🦜 κόσμε"),
    ("Bye", "Bye!"),
]


def write_parrot(
    folder: Path,
    pairs: Sequence[tuple[str, str]],
    *,
    steps: int = 400,
    jinja: str | None = None,
    tools: Mapping[str, Sequence[Any]] = MappingProxyType({}),
    **settings: Any,
) -> tuple[Any, Any]:
    """Train a tiny Llama on (request, answer) pairs until it knows them; write and return it.

    With `jinja`, a chat template, the requests in `tools` are asked with these tools.
    """
    write_tiny_llama(folder, width=64, **settings)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if jinja is not None:
        tokenizer.chat_template = jinja
        tokenizer.save_pretrained(folder)
    llm = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    rows, starts = [], []
    for request, answer in pairs:
        asked = [{"role": "user", "content": request}]
        prompt = tokenizer.apply_chat_template(
            asked, tools=tools.get(request), add_generation_prompt=True, tokenize=False
        )
        starts.append(len(tokenizer.encode(prompt)))
        rows.append(tokenizer.encode(prompt + answer + tokenizer.eos_token))
    longest = max(map(len, rows))
    ids = torch.tensor([row + [tokenizer.pad_token_id] * (longest - len(row)) for row in rows])
    labels = ids.clone()
    for label, row, start in zip(labels, rows, starts, strict=True):
        label[:start] = label[len(row) :] = -100
    optimizer = torch.optim.Adam(llm.parameters(), lr=5e-3)
    llm.train()
    for _ in range(steps):
        loss = llm(input_ids=ids, labels=labels, use_cache=False).loss
        if loss.item() < 5e-3:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    else:
        raise AssertionError(f"the parrot has not learnt its lines: loss {loss.item():.3f}")
    llm.eval()
    llm.save_pretrained(folder)
    return llm, tokenizer
