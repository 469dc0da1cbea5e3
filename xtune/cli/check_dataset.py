"""Say in plain words what is wrong with a file of data, or a config's data, and how to fix it.

xtune check-dataset my_data.jsonl                 the format is recognised
xtune check-dataset my_data.jsonl --map-fn alpaca
xtune check-dataset my_run.py                     the config's data, as its map_fn reads them

Every row is read. No model, tokenizer or template is needed; what these make of the rows is shown
by `xtune log-dataset`. Exit code 0 when the data can be trained on (rows that are skipped are
told), 1 when a run would stop or learn nothing, 2 when there is no such config, data or map_fn.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from xtune.data.diagnose import Diagnosis

__all__ = ["add_arguments", "run"]


class _Data(NamedTuple):
    name: str
    data_path: Any
    split: str
    map_fn: Any
    max_rows: int | None
    makes: str  # what a config's data set makes of rows; '' of a file, for whatever algorithm


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "target", metavar="CONFIG|FILE", help="a config, or a file, folder, glob or hub id"
    )
    parser.add_argument("--map-fn", metavar="NAME", help="the format; default: see above")
    parser.add_argument("--split", default="train", help="of a hub id; default: train")
    parser.add_argument("--max-rows", metavar="N", type=int, help="read no more than N rows")
    parser.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="K=V", help="change the config"
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the findings of each data set; return the exit code."""
    from xtune.data.diagnose import diagnose
    from xtune.data.sources import open_source
    from xtune.errors import DataError, UsageError

    if args.max_rows is not None and args.max_rows < 1:
        raise UsageError(f"--max-rows {args.max_rows}: at least one row must be read")
    found = []
    sound = True
    for data in _named(args):
        try:
            source = open_source(data.data_path, split=data.split)
        except DataError as error:
            raise UsageError(str(error)) from error
        one = diagnose(source, data.map_fn, max_rows=data.max_rows)
        found.append((data, one))
        sound &= one.is_trainable and not one.misfit(data.makes)
    if args.json:
        print(json.dumps({data.name: _plain(one) for data, one in found}, ensure_ascii=False))
    else:
        for data, one in found:
            print("\n".join(_lines(data, one)))
    return 0 if sound else 1


def _named(args: argparse.Namespace) -> Iterator[_Data]:
    """The data that the command line names: a file's, or those of a config."""
    from xtune.config import list_configs, render
    from xtune.config.declared import class_attribute
    from xtune.data.mixture import shares_of
    from xtune.errors import UsageError
    from xtune.registry import DATASETS

    target = args.target
    is_config = target.endswith(".py") or (target in list_configs() and not Path(target).exists())
    if not is_config:
        if args.cfg_options:
            raise UsageError(f"--cfg-options are for a config, and {target!r} is none")
        yield _Data(target, target, args.split, args.map_fn or "auto", args.max_rows, "")
        return
    values = render(target, args.cfg_options).values
    for key in ("train_dataset", "val_dataset"):
        data = values.get(key) or {}
        if data.get("data_path") is None:
            continue
        shares = shares_of(
            data["data_path"],
            map_fn=data.get("map_fn", "auto"),
            split=data.get("split", "train"),
            max_rows=data.get("max_rows"),
        )
        for share in shares:
            yield _Data(
                key if len(shares) == 1 else f"{key} {share.name}",
                share.data_path,
                share.split,
                args.map_fn or share.map_fn,
                args.max_rows or share.max_rows,
                str(class_attribute(DATASETS, data.get("type"), "makes")),
            )


def _lines(data: _Data, found: Diagnosis) -> Iterator[str]:
    from xtune.data.unread import unread_lines

    yield f"{data.name}: {_rows(found.rows)} read, {found.usable:,} usable"
    if found.fields:
        fields = ", ".join(f"{field} ({count:,})" for field, count in found.fields.items())
        yield f"  fields    {fields}"
    if found.format or found.why:
        why = found.why.replace("\n", "\n          ")
        yield "  format    " + ": ".join(filter(None, (found.format or "unknown", why)))
    if found.repeated:
        yield f"  note      {_rows(found.repeated)}: the same as an earlier one"
    for line in unread_lines(found.unread, found.unread_first):
        yield f"  unread    {line}"
    for problem in found.problems:
        verb = "STOPS" if problem.stops else "skipped"
        yield f"  {verb:<8}  {_rows(problem.count)}: {problem.what}"
        more = ", …" if problem.count > len(problem.places) else ""
        yield f"            at {', '.join(problem.places)}{more}"
        if problem.fix:
            yield f"            fix: {problem.fix}"
    if found.why_empty:
        yield f"  STOPS     there are no rows: {found.why_empty}"
    if not found.is_trainable:
        yield "  CANNOT be trained on as it is"
    elif found.misfit(data.makes or "dialogues"):
        judged = {"pairs": "a data set of pairs", "unpaired": "a data set of judged answers"}
        who = judged.get(data.makes, "supervised fine-tuning")
        yield f"  sound {found.kind.removesuffix('s')}s, which {who} refuses"
    else:
        yield "  can be trained on; xtune log-dataset shows the tokens"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _plain(found: Diagnosis) -> dict[str, Any]:
    return {**asdict(found), "is_trainable": found.is_trainable}
