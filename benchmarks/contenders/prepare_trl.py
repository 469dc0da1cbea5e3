"""TRL's data preparation: `prepare_trl.py ROWS MODEL LENGTH`; prints JSON.

SFTTrainer prepares its data while it is made, for which it wants a model: a tiny random one. Rows
are prompts and completions, so that the answers alone are trained, packed best fit; as many
processes as there are processors. The caches of `datasets` are in $HF_DATASETS_CACHE.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time

from datasets import load_dataset
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from trl import SFTConfig, SFTTrainer


def exchange(row):
    asked = "\n".join(filter(None, (row["instruction"], row["input"])))
    return {
        "prompt": [{"role": "user", "content": asked}],
        "completion": [{"role": "assistant", "content": row["output"]}],
    }


def main() -> None:
    rows, name, length = sys.argv[1], sys.argv[2], int(sys.argv[3])
    tokenizer = AutoTokenizer.from_pretrained(name)
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=length,
    )
    model = LlamaForCausalLM(shape)
    config = SFTConfig(
        output_dir=tempfile.mkdtemp(),
        use_cpu=True,
        bf16=False,
        max_length=length,
        packing=True,
        dataset_num_proc=os.cpu_count(),
        report_to="none",
        disable_tqdm=True,
    )
    began = time.perf_counter()
    data = load_dataset("json", data_files=rows, split="train")
    data = data.map(exchange, remove_columns=data.column_names, num_proc=os.cpu_count())
    trainer = SFTTrainer(model=model, args=config, train_dataset=data, processing_class=tokenizer)
    seconds = time.perf_counter() - began
    packs = trainer.train_dataset
    tokens = sum(map(len, packs["input_ids"]))
    print(json.dumps({"seconds": seconds, "tokens": tokens, "packs": len(packs)}))


if __name__ == "__main__":
    main()
