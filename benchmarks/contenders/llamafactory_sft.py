"""LLaMA-Factory's SFT on a task, in its own environment; its word is `packed` or `padded`.

Its chat templates train the line break after an answer too, so it gets the documents as tokens, by
its own `tokenized_path`; packed ones are put together by its own code, as `neat_packing` has them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from common import Run, Task, read_task, start_lora, write_result
from datasets import Dataset, DatasetDict
from llamafactory.data.processor.supervised import (
    PackedSupervisedDatasetProcessor,
    SupervisedDatasetProcessor,
)
from llamafactory.hparams import DataArguments
from llamafactory.train.tuner import run_exp
from transformers import AutoTokenizer
from watch import Watch, recording

PADDED_BATCH = 8
MEDIA = ("images", "videos", "audios")  # of which text has none


class Tokenized:
    """In the place of a template: the documents are tokens already."""

    def _encode_data_example(self, prompt, **_):
        return prompt[0]["input_ids"], prompt[0]["labels"]


class PaddedProcessor(Tokenized, SupervisedDatasetProcessor):
    """One document a row."""


class PackedProcessor(Tokenized, PackedSupervisedDatasetProcessor):
    """LLaMA-Factory's own packing."""


class Start(Watch):
    """Gives the adapter the start that all contenders share, and notes what is trained on."""

    def on_train_begin(self, args, state, control, model=None, train_dataloader=None, **_):
        self.trainable = start_lora(model)
        loader = train_dataloader.base_dataloader  # accelerate's is a shell around it
        loader.collate_fn = recording(loader.collate_fn, self.run)


def write_tokenized(task: Task, folder: Path, *, packed: bool) -> None:
    processor = (PackedProcessor if packed else PaddedProcessor)(
        template=None,
        tokenizer=AutoTokenizer.from_pretrained(task.settings["model"]),
        processor=None,
        data_args=DataArguments(
            template="chatml", cutoff_len=task.settings["pack_length"], neat_packing=packed
        ),
    )
    documents = task.documents
    nothing = [None] * len(documents)
    columns = processor.preprocess_dataset(
        {
            "_prompt": [[document] for document in documents],
            "_response": [[None] for _ in documents],
            **dict.fromkeys(("_system", "_tools", "_images", "_videos", "_audios"), nothing),
        }
    )
    rows = Dataset.from_dict({k: v for k, v in columns.items() if k not in MEDIA})
    DatasetDict({"train": rows}).save_to_disk(folder)


def train(task: Task) -> tuple[Run, int]:
    packed = task.words == ["packed"]
    settings = task.settings
    folder = Path(tempfile.mkdtemp())
    write_tokenized(task, folder / "tokenized", packed=packed)
    batch = 1 if packed else (len(task.documents) if task.steps else PADDED_BATCH)
    arguments = {
        "model_name_or_path": settings["model"],
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full" if task.method == "full" else "lora",
        "template": "chatml",
        "dataset": "task",  # must be said; tokenized_path goes before it
        "tokenized_path": str(folder / "tokenized"),
        "cutoff_len": settings["pack_length"],
        "packing": packed,
        "neat_packing": packed,
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": 1,
        "disable_gradient_checkpointing": True,
        "num_train_epochs": task.steps or 1,
        "learning_rate": settings["lr"],
        "lr_scheduler_type": "constant",
        "optim": "adamw_torch",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "bf16": task.autocast,
        "fp16": False,
        "use_cpu": True,
        "logging_steps": 1,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "output_dir": str(folder / "out"),
    }
    if task.method != "full":
        arguments |= {"lora_rank": 16, "lora_alpha": 32, "lora_dropout": 0.0, "lora_target": "all"}
    if task.method == "qlora":
        arguments |= {
            "quantization_bit": 4,
            "quantization_method": "bnb",
            "quantization_type": "nf4",
            "double_quantization": True,
        }
    run = Run()
    start = Start(run)
    run_exp(arguments, callbacks=[start])
    return run, start.trainable


if __name__ == "__main__":
    task = read_task()
    torch.set_num_threads(task.settings["threads"])
    write_result(*train(task))
