"""xtune's scorer on (context, continuation) pairs: `eval_xtune.py MODEL PAIRS OUT WAY`."""

from __future__ import annotations

import json
import resource
import sys
import time
from itertools import groupby
from pathlib import Path


def main() -> None:
    model, pairs, out, way = sys.argv[1:]
    requests = json.loads(Path(pairs).read_text(encoding="utf-8"))

    import torch

    from xtune.eval.prompts import Renderer
    from xtune.eval.scoring import Scorer
    from xtune.eval.tasks.base import Candidate, Choices, Prompt
    from xtune.models import load_model, load_tokenizer

    torch.set_num_threads(1)
    llm, tokenizer = load_model(model, dtype="fp32"), load_tokenizer(model)
    asks = []
    for context, group in groupby(requests, key=lambda pair: pair[0]):
        prompt = Prompt(question=context, delimiter="")
        asks.append(Choices(tuple(Candidate(prompt, continuation) for _, continuation in group)))
    began = time.process_time()
    renderer = Renderer(tokenizer, form="completion", max_length=8192)
    scorer = Scorer(llm, way=way)
    answers = scorer.score([request for ask in asks for request in renderer.choices(ask)])
    seconds = time.process_time() - began
    result = {
        "seconds": seconds,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "log_probs": [answer.log_prob for answer in answers],
        "greedy": [answer.greedy for answer in answers],
        "lengths": [answer.tokens for answer in answers],
        "tokens": scorer.tokens,
    }
    Path(out).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
