"""lm_eval's HFLM on (context, continuation) pairs: `eval_lm_eval.py MODEL PAIRS OUT BATCH`."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path


def main() -> None:
    model, pairs, out, batch = sys.argv[1:]
    requests = json.loads(Path(pairs).read_text(encoding="utf-8"))

    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    torch.set_num_threads(1)
    llm = HFLM(pretrained=model, dtype="float32", device="cpu", batch_size=int(batch))
    instances = [
        Instance(request_type="loglikelihood", doc={}, arguments=(context, continuation), idx=n)
        for n, (context, continuation) in enumerate(requests)
    ]
    began = time.process_time()
    answers = llm.loglikelihood(instances, disable_tqdm=True)
    seconds = time.process_time() - began
    result = {
        "seconds": seconds,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "log_probs": [log_prob for log_prob, _ in answers],
        "greedy": [bool(greedy) for _, greedy in answers],
    }
    Path(out).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
