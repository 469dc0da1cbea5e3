"""LLaMA-Factory's data preparation: `prepare_llamafactory.py ROWS MODEL LENGTH`; prints JSON.

With neat_packing and as many processes as there are processors. The caches of `datasets` are in
$HF_DATASETS_CACHE.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
from llamafactory.hparams import get_train_args
from llamafactory.model import load_tokenizer


def main() -> None:
    rows, name, length = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    (rows.parent / "dataset_info.json").write_text(
        json.dumps({"rows": {"file_name": rows.name, "formatting": "alpaca"}})
    )
    model_args, data_args, training_args, _, _ = get_train_args(
        {
            "model_name_or_path": name,
            "stage": "sft",
            "do_train": True,
            "finetuning_type": "lora",
            "template": "chatml",
            "dataset": "rows",
            "dataset_dir": str(rows.parent),
            "cutoff_len": length,
            "packing": True,
            "neat_packing": True,
            "preprocessing_num_workers": os.cpu_count(),
            "use_cpu": True,
            "report_to": "none",
            "output_dir": tempfile.mkdtemp(),
        }
    )
    module = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(module["tokenizer"], data_args)
    began = time.perf_counter()
    made = get_dataset(template, model_args, data_args, training_args, stage="sft", **module)
    seconds = time.perf_counter() - began
    packs = made["train_dataset"]
    tokens = sum(sum(mask != 0 for mask in row) for row in packs["attention_mask"])
    print(json.dumps({"seconds": seconds, "tokens": tokens, "packs": len(packs)}))


if __name__ == "__main__":
    main()
