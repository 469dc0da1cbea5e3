"""Keys and values in 8 bits against whole ones: how far answers of SmolLM2 move, as exports prove.

    python benchmarks/kv_parity.py

The texts, places and scores are those of the export's proof (xtune/export/proof): dialogues with
given answers and greedy ones, each token of an answer compared. A section of Markdown goes to
standard output.
"""

from __future__ import annotations

import argparse
import sys

import torch
from harness.machine import machine_lines

from xtune.export.proof.reference import reference_of
from xtune.export.proof.scores import Given, scores_of
from xtune.generation.cache_form import EightBits, PromptCache, bytes_per_token
from xtune.generation.model import ChatModel
from xtune.models import generation_mode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="smollm2")
    args = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        "## Keys and values in 8 bits",
        "",
        f"`python benchmarks/kv_parity.py --model {args.model}`",
        "",
        *machine_lines(threads=1),
        "",
        "| computed in | places | same likeliest % | KL mean | KL p99 | answer NLL | gap that "
        "flipped | bytes a token, whole | in 8 bits |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for dtype in ("fp32", "bf16"):
        model = ChatModel.load(args.model, dtype=dtype)
        with generation_mode(model.llm, alike=True):
            reference = reference_of(
                model.llm, model.tokenizer, [], system=model.system, stop_words=model.stop_words
            )
            given = []
            for text in reference.scored:
                logits = model.llm(
                    input_ids=torch.tensor([text.ids]),
                    past_key_values=PromptCache(EightBits()),
                    use_cache=True,
                ).logits[0]
                shares = logits.float().log_softmax(-1)
                given.append([Given(None, shares[place - 1]) for place in text.places])
        scores = scores_of(reference.scored, given)
        lines.append(
            f"| {dtype} | {scores.places} | {scores.top1:.1f} | {scores.kl_mean:.1e} | "
            f"{scores.kl_p99:.1e} | {scores.nll_rise:+.1e} | {scores.flip:.3f} | "
            f"{bytes_per_token(model.llm)} | {bytes_per_token(model.llm, EightBits())} |"
        )
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
