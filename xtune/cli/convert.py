"""Merge an adapter, or write a model that any program loads from a folder of shards of it.

  xtune convert merge       internlm/internlm2-7b       work_dirs/internlm2_7b_qlora_alpaca  OUT
  xtune convert zero_to_hf  checkpoints/global_step500  internlm/internlm2-7b  OUT
  xtune convert dcp_to_hf   checkpoints/step_500        internlm/internlm2-7b  OUT

merge is `xtune export MODEL OUT --adapter ADAPTER`. zero_to_hf reads what DeepSpeed's
save_checkpoint wrote, dcp_to_hf what torch.distributed.checkpoint wrote. xtune's own checkpoints
need neither: they hold the whole adapter or model. The shards are pickles; nothing in them is run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_arguments", "run"]

_KINDS = ("merge", "zero_to_hf", "dcp_to_hf")
_XTUNERS = {
    "pth_to_hf": (
        "there is nothing to convert: what `xtune train` saves is in the form of PEFT or of "
        "transformers already{place}. Shards of DeepSpeed's, XTuner's iter_N.pth folders among "
        "them: xtune convert zero_to_hf SHARDS MODEL OUT"
    ),
    "split": "there is nothing to split: xtune writes a model in shards that every program loads",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("kind", metavar="KIND", help=f"what is done: {', '.join(_KINDS)}")
    parser.add_argument("first", metavar="FROM", help="merge: the model; else the folder of shards")
    parser.add_argument(
        "second",
        metavar="WITH",
        help="merge: the adapter, or its run's work_dir; else the model that was trained: a hub id "
        "or a folder",
    )
    parser.add_argument("third", metavar="OUT", nargs="?", help="a folder that is not there yet")


def run(args: argparse.Namespace) -> None:
    """Merge, or read the shards and write the model."""
    from xtune.errors import UsageError, did_you_mean

    kind = args.kind.lower().replace("-", "_")
    if kind in _XTUNERS:
        raise UsageError(_XTUNERS[kind].format(place=_saved_by(args.first)))
    if kind not in _KINDS:
        raise UsageError(
            f"KIND {args.kind!r}{did_you_mean(kind, _KINDS) or ';'} there are: {', '.join(_KINDS)}"
        )
    if args.third is None:
        raise UsageError(
            f"OUT is missing: xtune convert {args.kind} {args.first} {args.second} OUT"
        )
    if kind == "merge":
        from xtune.cli import export

        words = argparse.Namespace(model=args.first, out=Path(args.third), adapter=args.second)
        words.layout, words.dtype = None, "auto"
        words.format, words.quant, words.calibrate = "transformers", None, None
        words.sparsity = None
        export.run(words)
        return
    _from_shards(kind, args.first, args.second, Path(args.third))


def _from_shards(kind: str, given: str, model: str, out: Path) -> None:
    from xtune.checkpoint.disk import whole_folder
    from xtune.errors import UsageError
    from xtune.export.export import write_model
    from xtune.export.shards import read_dcp, read_zero, weights_of_model
    from xtune.local_path import not_there
    from xtune.models import load_model, load_tokenizer

    out, shards = out.expanduser(), Path(given).expanduser()
    if out.exists():
        raise UsageError(f"{out} exists already: give a folder that is not there yet")
    if not shards.is_dir():
        raise UsageError(not_there(given))
    llm = load_model(model, device="meta")
    tokenizer = load_tokenizer(model)
    found = read_zero(shards) if kind == "zero_to_hf" else read_dcp(shards)
    weights = weights_of_model(found, dict(llm.named_parameters()))
    llm.load_state_dict(weights, strict=False, assign=True)
    llm.tie_weights()
    with whole_folder(out) as part:
        write_model(part, llm, tokenizer, {"base_model": model})
    numbers = {str(weight.dtype).removeprefix("torch.") for weight in weights.values()}
    total = sum(weight.numel() for weight in weights.values())
    print(
        f"{out}: {total:,} parameters in {' and '.join(sorted(numbers))}\n"
        f"talk to it: xtune chat {out}"
    )


def _saved_by(config: str) -> str:
    """Where the run of a config has saved, if that can be seen from here."""
    latest = Path("work_dirs") / Path(config).stem / "checkpoints" / "latest"
    found = [latest / kind for kind in ("adapter", "model") if (latest / kind).is_dir()]
    return (
        f": {found[0]}" if found else ", in work_dirs/CONFIG/checkpoints/latest/adapter (or model)"
    )
