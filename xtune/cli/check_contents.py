"""What `xtune check` says of the files that a config names: the first rows, the tokenizer's ids."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xtune.config import Problem, Sheet
    from xtune.data.diagnose import Diagnosis

__all__ = ["contents_of"]

_ROWS = 100  # read of each data set
_LARGEST_ARRAY = 1 << 26  # bytes of a JSON array, which is read whole


def contents_of(sheet: Sheet) -> tuple[list[Problem], list[str]]:
    """Return what would stop a run, and what is good to know.

    Only files on this disk are looked at; no weights and no tokenizer are loaded.

    Args:
        sheet: in which `check` has found nothing.
    """
    from xtune.config import problem_at

    problems: list[Problem] = []
    notes: list[str] = []
    findings = [*_settings(sheet.values), *_rows(sheet.values), *_tokens(sheet.values)]
    for key, message, stops in findings:
        if stops:
            problems.append(problem_at(sheet, key, message))
        else:
            notes.append(message)
    return problems, notes


def _settings(values: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """What an algorithm with a loss of its own refuses; code of the user's is not run here."""
    from xtune.errors import ConfigError

    model = values["model"]
    loss = model.get("loss")
    named = (model.get("type"), loss.get("type") if isinstance(loss, Mapping) else None)
    if not all(isinstance(name, str) and name.isidentifier() for name in named):
        return
    from xtune.config.declared import declared
    from xtune.registry import MODELS, resolve

    try:
        # its own module alone: to look a name up imports PEFT and all else that can be one
        found = declared(MODELS, model["type"])
        algorithm: Any = found.imported() if found else resolve(MODELS, model["type"])
        algorithm.require_settings(model)
    except ConfigError as error:
        keys = {f"model.{name}": name for name in model} | {
            f"model.loss.{name}": name for name in loss or ()
        }
        at = [key for key, name in keys.items() if re.match(rf"{name}( is |=)", str(error))]
        yield (at or ["model.loss"])[0], str(error), True


def _rows(values: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Key, finding, and whether it stops a run, of the first rows of each data set."""
    from xtune.config.declared import class_attribute
    from xtune.data.diagnose import diagnose
    from xtune.data.mixture import shares_of
    from xtune.data.sources import open_source
    from xtune.data.sources.files import FilesSource
    from xtune.errors import DataError, RegistryError
    from xtune.registry import DATASETS

    for key in ("train_dataset", "val_dataset"):
        data = values.get(key) or {}
        if data.get("data_path") is None:
            continue
        own = {name: data.get(name) for name in ("map_fn", "max_rows")}
        try:
            shares = shares_of(data["data_path"], split=data.get("split", "train"), **own)
        except DataError as error:
            yield f"{key}.data_path", str(error), True
            continue
        for share in shares:
            try:
                if not _is_here(share.data_path):
                    continue
                source = open_source(share.data_path, split=share.split)
                if not isinstance(source, FilesSource) or any(map(_is_long, source.files)):
                    continue
                found = diagnose(source, share.map_fn, max_rows=min(_ROWS, share.max_rows or _ROWS))
            except DataError as error:
                yield f"{key}.data_path", str(error), True
                continue
            except RegistryError:  # the check has said so
                continue
            makes = class_attribute(DATASETS, data.get("type"), "makes")
            yield from _of_diagnosis(key, found, str(makes))


def _of_diagnosis(key: str, found: Diagnosis, makes: str) -> Iterator[tuple[str, str, bool]]:
    from xtune.data.unread import unread_lines

    if found.why_empty:
        yield f"{key}.data_path", f"the data set is empty: {found.why_empty}", True
        return
    some = f"of the first {found.rows} rows of {key}" if found.rows == _ROWS else f"of {key}'s rows"
    if not found.format and found.rows:
        yield f"{key}.map_fn", found.why.splitlines()[0], True
        return
    for problem in found.problems:
        where = ", ".join(problem.places[:3])
        if problem.stops:
            fix = f". {found.why}" if not found.usable and found.why else ""
            yield f"{key}.map_fn", f"a run would stop at {where}: {problem.what}{fix}", True
        else:
            more = ", …" if problem.count > 3 else ""
            skipped = f"{some} {problem.count} would be skipped: {problem.what} ({where}{more})"
            yield key, skipped, False
    if message := found.misfit(makes):
        yield f"{key}.map_fn", f"{message}: xtune list-formats shows what makes {makes}", True
    if found.rows and not found.usable and not any(one.stops for one in found.problems):
        yield f"{key}.data_path", f"{some} none can be used", found.rows < _ROWS
    for line in unread_lines(found.unread):
        yield key, f"{key}: {line}", False


def _is_here(data_path: Any) -> bool:
    from xtune.data.sources.files import find_files
    from xtune.registry import SOURCES, names_alone

    if isinstance(data_path, str):
        return data_path not in names_alone(SOURCES, "split") and bool(
            find_files(data_path) or (Path(data_path).expanduser() / "dataset_dict.json").is_file()
        )
    return not isinstance(data_path, Mapping) or data_path.get("type") == "files"


def _is_long(file: Path) -> bool:
    """Whether the first rows cost as much as all."""
    return ".json" in file.suffixes and file.stat().st_size > _LARGEST_ARRAY


def _tokens(values: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    from xtune.models.vocabulary_files import missing_file, spoilt_file
    from xtune.models.vocabulary_rows import rows_in, tokens_in, without_rows

    llm = values["model"].get("llm") or {}
    tokenizer = values.get("tokenizer") or {}
    name = llm.get("pretrained_model_name_or_path")
    its = tokenizer.get("pretrained_model_name_or_path")
    if not isinstance(name, str) or not isinstance(its, str) or tokenizer.get("trust_remote_code"):
        return
    folder, model = Path(its).expanduser(), Path(name).expanduser()
    if not folder.is_dir():
        return
    key = "tokenizer.pretrained_model_name_or_path"
    # Whether a family's own code can split text by tiktoken's ranks is left to the run
    broken = missing_file(folder, knows_how_ranks_split=True)
    if not broken and (folder / "tokenizer.json").is_file():
        broken = spoilt_file(folder)
    if broken:
        yield key, broken, True
        return
    rows = rows_in(model) if model.is_dir() else None
    if rows is None or tokenizer.get("added_tokens"):
        return
    tokens, always = tokens_in(folder)
    if found := without_rows(tokens, rows, name, always=always):
        what, ends = found
        yield key, f"{what}: a run stops if the data use one of them", ends
