"""TRL's SFTTrainer on a task, in its own environment; its word is `packed` or `padded`."""

from __future__ import annotations

import tempfile

from common import LINEARS, Run, Task, quantization, read_task, start_lora, write_result
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer
from watch import Watch, recording

PADDED_BATCH = 8


def train(task: Task) -> tuple[Run, int]:
    """One run over the documents, or `steps` passes over them when they are one batch."""
    packed = task.words == ["packed"]
    settings, documents = task.settings, task.documents
    model = AutoModelForCausalLM.from_pretrained(
        settings["model"], dtype=task.weights, quantization_config=quantization(task)
    )
    run = Run()
    batch = 1 if packed else (len(documents) if task.steps else PADDED_BATCH)
    config = SFTConfig(
        output_dir=tempfile.mkdtemp(),
        use_cpu=True,
        bf16=task.autocast,
        gradient_checkpointing=False,
        per_device_train_batch_size=batch,
        max_length=settings["pack_length"],
        packing=packed,
        num_train_epochs=task.steps or 1,
        learning_rate=settings["lr"],
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
        processing_class=AutoTokenizer.from_pretrained(settings["model"]),
        peft_config=None if task.method == "full" else lora,
        callbacks=[Watch(run)],
    )
    trainable = start_lora(trainer.model)
    trainer.data_collator = recording(trainer.data_collator, run)
    trainer.train()
    return run, trainable


if __name__ == "__main__":
    write_result(*train(read_task()))
