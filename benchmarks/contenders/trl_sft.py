"""TRL's SFTTrainer, in its own environment: `trl_sft.py FOLDER RESULT packed|padded`."""

from __future__ import annotations

import sys
import tempfile
import time

import torch
from common import LINEARS, Run, digest, read_documents, read_task, start_lora, write_result
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

PACKED = sys.argv[3] == "packed"
PADDED_BATCH = 8


class Watch(TrainerCallback):
    """Times the optimizer steps and keeps their losses."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_step_begin(self, args, state, control, **_):
        self.began = time.perf_counter()

    def on_step_end(self, args, state, control, **_):
        self.run.seconds.append(time.perf_counter() - self.began)

    def on_log(self, args, state, control, logs=None, **_):
        if "loss" in logs:
            self.run.losses.append(logs["loss"])


def recording(collator, run: Run):
    """The trainer's own collator, and a note of what it hands out."""

    def collate(examples):
        batch = collator(examples)
        trained = 0
        if "position_ids" in batch:  # padding-free: documents begin where positions restart
            ids, labels = batch["input_ids"][0], batch["labels"][0]
            starts = (batch["position_ids"][0] == 0).nonzero().flatten().tolist() + [len(ids)]
            documents = [
                (ids[a:b].tolist(), labels[a:b].tolist())
                for a, b in zip(starts[:-1], starts[1:], strict=True)
            ]
        else:
            documents = [
                (ids[mask.bool()].tolist(), labels[mask.bool()].tolist())
                for ids, labels, mask in zip(
                    batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True
                )
            ]
        for ids, labels in documents:
            run.documents.append(digest(ids, labels))
            trained += sum(label != -100 for label in labels[1:])
        run.tokens.append(sum(len(ids) for ids, _ in documents))
        run.trained.append(trained)
        return batch

    return collate


def train(documents, task, *, steps: int | None) -> tuple[Run, int]:
    """One run over the documents, or `steps` passes over them when they are one batch."""
    bf16 = task["precision"] == "bf16"
    model = AutoModelForCausalLM.from_pretrained(
        task["model"], dtype=torch.bfloat16 if bf16 else torch.float32
    )
    run = Run()
    batch = 1 if PACKED else (len(documents) if steps else PADDED_BATCH)
    config = SFTConfig(
        output_dir=tempfile.mkdtemp(),
        use_cpu=True,
        bf16=bf16,
        gradient_checkpointing=False,
        per_device_train_batch_size=batch,
        max_length=task["pack_length"],
        packing=PACKED,
        num_train_epochs=steps or 1,
        learning_rate=task["lr"],
        lr_scheduler_type="constant",
        weight_decay=0.0,
        max_grad_norm=1.0,
        logging_steps=1,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    lora = LoraConfig(r=16, lora_alpha=32, target_modules=LINEARS, task_type="CAUSAL_LM")
    trainer = SFTTrainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(documents),
        processing_class=AutoTokenizer.from_pretrained(task["model"]),
        peft_config=lora,
        callbacks=[Watch(run)],
    )
    trainable = start_lora(trainer.model)
    trainer.data_collator = recording(trainer.data_collator, run)
    trainer.train()
    return run, trainable


if __name__ == "__main__":
    folder, task = read_task()
    gate, trainable = train(read_documents(folder / "gate.npz"), task, steps=task["gate_steps"])
    speed, _ = train(read_documents(folder / "docs.npz"), task, steps=None)
    write_result(gate, speed, trainable)
