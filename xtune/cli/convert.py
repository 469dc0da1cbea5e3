"""Write a model that any program loads from a folder that holds only shards of it.

  xtune convert zero_to_hf  checkpoints/global_step500  internlm/internlm2-7b  OUT
  xtune convert dcp_to_hf   checkpoints/step_500        internlm/internlm2-7b  OUT

zero_to_hf reads what DeepSpeed's save_checkpoint wrote, dcp_to_hf what torch.distributed.checkpoint
wrote. xtune's own checkpoints need none of this: they hold the whole adapter or model. The shards
are pickles; nothing in them is run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("kind", choices=("zero_to_hf", "dcp_to_hf"), help="what the shards are")
    parser.add_argument("shards", metavar="SHARDS", type=Path, help="the folder of shards")
    parser.add_argument(
        "model", metavar="MODEL", help="the model that was trained: a hub id or a folder"
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="a folder that is not there yet")


def run(args: argparse.Namespace) -> None:
    """Read the shards, write the model."""
    from xtune.checkpoint.disk import whole_folder
    from xtune.checkpoint.export import write_model
    from xtune.checkpoint.shards import read_dcp, read_zero, weights_of_model
    from xtune.errors import UsageError
    from xtune.models import load_model, load_tokenizer

    out, shards = args.out.expanduser(), args.shards.expanduser()
    if out.exists():
        raise UsageError(f"{out} exists already: give a folder that is not there yet")
    if not shards.is_dir():
        raise UsageError(f"no folder {shards}")
    llm = load_model(args.model, device="meta")
    tokenizer = load_tokenizer(args.model)
    found = read_zero(shards) if args.kind == "zero_to_hf" else read_dcp(shards)
    weights = weights_of_model(found, dict(llm.named_parameters()))
    llm.load_state_dict(weights, strict=False, assign=True)
    llm.tie_weights()
    with whole_folder(out) as part:
        write_model(part, llm, tokenizer, {"base_model": args.model})
    numbers = {str(weight.dtype).removeprefix("torch.") for weight in weights.values()}
    total = sum(weight.numel() for weight in weights.values())
    print(
        f"{out}: {total:,} parameters in {' and '.join(sorted(numbers))}\n"
        f"talk to it: xtune chat {out}"
    )
