"""TRL's DPOTrainer on the pairs of `preference_cpu.py`, in its own environment."""

from __future__ import annotations

import tempfile

import torch
from common import LINEARS, start_lora
from datasets import Dataset
from peft import LoraConfig
from preference_common import Result, digest, run_tasks
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer


class Watch(TrainerCallback):
    """Times the optimizer steps and keeps their gradient norms."""

    def __init__(self, result: Result) -> None:
        self.result = result

    def on_train_begin(self, args, state, control, model=None, **_):
        self.result.begin_training(model)

    def on_step_begin(self, args, state, control, **_):
        self.result.begin_step()

    def on_step_end(self, args, state, control, **_):
        self.result.end_step()

    def on_log(self, args, state, control, logs=None, **_):
        if "grad_norm" in logs:
            self.result.grad_norm.append(logs["grad_norm"])


class TokenizedDPO(DPOTrainer):
    """Trains on ids that are given, and notes its losses before they are rounded for the log."""

    def __init__(self, result: Result, **settings) -> None:
        self.result, self.micro = result, []
        super().__init__(**settings)

    def _prepare_dataset(self, dataset, *args, **kwargs):
        return dataset

    def _get_train_sampler(self, *args, **kwargs):
        return torch.utils.data.SequentialSampler(self.train_dataset)

    def _compute_loss(self, model, inputs, return_outputs):
        loss = super()._compute_loss(model, inputs, return_outputs)
        metrics = self._metrics["train"]
        margin, accuracy = metrics["rewards/margins"][-1], metrics["rewards/accuracies"][-1]
        self.micro.append((float(loss.detach()), margin, accuracy))
        if len(self.micro) == self.args.gradient_accumulation_steps:
            kept = (self.result.loss, self.result.margin, self.result.accuracy)
            for into, values in zip(kept, zip(*self.micro, strict=True), strict=True):
                into.append(sum(values) / len(values))
            self.micro.clear()
        return loss


def train(task: dict) -> Result:
    """One run over the pairs."""
    result = Result()
    model = AutoModelForCausalLM.from_pretrained(
        task["model"], dtype=torch.bfloat16 if task["dtype"] == "bf16" else torch.float32
    )
    config = DPOConfig(
        output_dir=tempfile.mkdtemp(),
        use_cpu=True,
        bf16=task["dtype"] == "bf16",
        gradient_checkpointing=task["checkpointing"],
        per_device_train_batch_size=task["batch"],
        gradient_accumulation_steps=task["accumulation"],
        max_length=None,
        num_train_epochs=1,
        learning_rate=task["lr"],
        lr_scheduler_type="constant",
        weight_decay=0.0,
        max_grad_norm=1.0,
        beta=0.1,
        label_smoothing=task["label_smoothing"],
        logging_steps=1,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    lora = LoraConfig(r=16, lora_alpha=32, target_modules=LINEARS, task_type="CAUSAL_LM")
    trainer = TokenizedDPO(
        result,
        model=model,
        args=config,
        train_dataset=Dataset.from_list(task["pairs"]),
        processing_class=AutoTokenizer.from_pretrained(task["model"]),
        peft_config=lora,
        callbacks=[Watch(result)],
    )
    start_lora(trainer.model)
    collate = trainer.data_collator
    noted: list[str] = []

    def noting(examples):
        batch = collate(examples)
        rows = [
            ids[mask.bool()].tolist()
            for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
        ]
        half = len(rows) // 2
        noted.extend(map(digest, rows[:half], rows[half:]))
        result.seen += 2 * batch["input_ids"].numel()  # the reference's pass, and the policy's
        return batch

    trainer.data_collator = noting
    trainer.train()
    size = task["batch"] * task["accumulation"]
    result.pairs = [sorted(noted[at : at + size]) for at in range(0, len(noted), size)]
    result.end_training()
    return result


if __name__ == "__main__":
    run_tasks(train)
