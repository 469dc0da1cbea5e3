"""What a config's `data_path` stands for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xtune.data.sources.base import Source
from xtune.data.sources.files import FilesSource, find_files, is_data_file, others_in
from xtune.data.sources.hub import HubSource
from xtune.data.sources.modelscope import ModelScopeSource
from xtune.errors import DataError, did_you_mean
from xtune.local_path import not_there
from xtune.names import MODELSCOPE, Kind, kind_of
from xtune.registry import SOURCES, names_alone, resolve

__all__ = ["open_source"]


def open_source(data_path: str | Sequence[str] | Mapping[str, Any], *, split: str) -> Source:
    """Turn a config's `data_path` into a source of rows.

    Args:
        data_path: a dict with a `type` names a source and its arguments; a string is, in this
            order, the name of a source ('toolcall'), files that exist (a file, a folder, a
            glob), a data set on ModelScope ('modelscope:owner/name'), or a hub id
            ('owner/name'); a list is files.
        split: passed to sources that have splits, unless the dict names one; files have none.

    Raises:
        DataError: nothing is there under that name; says what was looked for.
        RegistryError: the dict's `type` is no source.
    """
    if isinstance(data_path, Mapping):
        return _build(data_path, split)
    if not isinstance(data_path, str):
        return FilesSource(data_path)
    if data_path in names_alone(SOURCES, "split"):
        return _build({"type": data_path}, split)
    folder = Path(data_path).expanduser()
    if (folder / "dataset_dict.json").is_file():  # `datasets` has saved several splits there
        if not (folder / split).is_dir():
            there = sorted(part.name for part in folder.iterdir() if part.is_dir())
            raise DataError(
                f"no data at '{data_path}/{split}': {data_path} has the splits "
                f"{', '.join(there)}. Name one of them: train_dataset.split=… or "
                f"val_dataset.split={there[-1] if there else '…'}"
            )
        return FilesSource(str(folder / split))
    if find_files(data_path):
        return FilesSource(data_path)
    if kind_of(data_path) is Kind.MODELSCOPE:
        return ModelScopeSource(data_path.removeprefix(MODELSCOPE), split=split)
    if kind_of(data_path) is Kind.HUB and not is_data_file(data_path):
        return HubSource(data_path, split=split)
    raise DataError(_nothing_there(data_path))


def _build(cfg: Mapping[str, Any], split: str) -> Source:
    arguments = dict(cfg)
    source = resolve(SOURCES, arguments.pop("type", None))
    if "split" in inspect.signature(source).parameters:
        arguments.setdefault("split", split)
    return source(**arguments)


def _nothing_there(data_path: str) -> str:
    path = Path(data_path).expanduser()
    if data_path and path.is_dir():
        return (
            f"data_path {data_path!r} is a folder without a json, jsonl, csv, tsv, txt, parquet "
            f"or arrow file{others_in(data_path)}"
        )
    own_names = names_alone(SOURCES, "split")
    return (
        f"{not_there(data_path, 'data at')} Nor is it a source{did_you_mean(data_path, own_names)} "
        f"({', '.join(own_names)}), a hub id 'owner/name', or '{MODELSCOPE}owner/name'"
        f"{others_in(data_path)}"
    )
