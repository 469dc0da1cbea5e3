"""A plain transformers + PEFT loop on a task: batches of 8, padded, the model's own loss."""

from __future__ import annotations

import time

import torch
from common import LINEARS, Run, Task, digest, quantization, read_task, start_lora, write_result
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

BATCH = 8


def pad(documents) -> dict[str, torch.Tensor]:
    longest = max(len(d["input_ids"]) for d in documents)
    rows = {"input_ids": [], "labels": [], "attention_mask": []}
    for d in documents:
        gap = longest - len(d["input_ids"])
        rows["input_ids"].append(d["input_ids"] + [0] * gap)
        rows["labels"].append(d["labels"] + [-100] * gap)
        rows["attention_mask"].append([1] * len(d["input_ids"]) + [0] * gap)
    return {key: torch.tensor(value) for key, value in rows.items()}


def train(task: Task) -> tuple[Run, int]:
    model = AutoModelForCausalLM.from_pretrained(
        task.settings["model"], dtype=task.weights, quantization_config=quantization(task)
    )
    if task.method != "full":
        model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=LINEARS))
    trainable = start_lora(model)
    model.train()
    wanted = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(wanted, lr=task.settings["lr"], weight_decay=0.0)
    run = Run()
    documents = task.documents
    if task.steps:
        batches = [documents] * task.steps
    else:
        batches = [documents[i : i + BATCH] for i in range(0, len(documents), BATCH)]
    for batch in batches:
        began = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=task.autocast):
            loss = model(**pad(batch)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(wanted, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        run.seconds.append(time.perf_counter() - began)
        run.losses.append(loss.item())
        run.tokens.append(sum(len(d["input_ids"]) for d in batch))
        run.trained.append(sum(x != -100 for d in batch for x in d["labels"][1:]))
        run.documents += [digest(d["input_ids"], d["labels"]) for d in batch]
    return run, trainable


if __name__ == "__main__":
    write_result(*train(read_task()))
