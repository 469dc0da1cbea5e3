"""xtune's data preparation: `prepare_xtune.py ROWS MODEL LENGTH`; prints JSON.

Its cache is in $XTUNE_CACHE: empty is cold, what an earlier run has left is warm. `memory_mb` is
the most that this process held in all, imports and mapped pages too (VmHWM).
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from xtune.data.dataset import SFTDataset
from xtune.models import load_tokenizer

rows, model, length = sys.argv[1], sys.argv[2], int(sys.argv[3])
tokenizer = load_tokenizer(model)
began = time.perf_counter()
dataset = SFTDataset(data_path=rows, tokenizer=tokenizer, map_fn="alpaca", max_length=length)
seconds = time.perf_counter() - began
status = dict(
    line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line
)
print(
    json.dumps(
        {
            "seconds": seconds,
            "cpu_seconds": time.process_time(),
            "samples": dataset.report.samples,
            "tokens": dataset.tokens,
            "packs": len(dataset),
            "memory_mb": int(status["VmHWM"].split()[0]) / 1024,
        }
    )
)
