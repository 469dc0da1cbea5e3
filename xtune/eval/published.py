"""A benchmark's files as they were published, in a folder or on a hub; what is missing is named.

    data_path=None               $XTUNE_EVAL_DATA/<task>/…
    data_path='benchmarks'       benchmarks/<task>/…, or the files lie in it directly
    data_path='owner/name'       the hub;  'modelscope:owner/name': ModelScope

A task says with a `Part` how the files of each of its splits are called, and takes rows:

    files = Published("gsm8k", data_path, source="https://github.com/openai/grade-school-math")
    test = Part("test.jsonl", split="test", config="main", items=1319)
    files.require(test)                                  # in the constructor
    for where, row in files.rows(test): ...              # in items()
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xtune.data import json_text
from xtune.data.sources.compression import DECOMPRESSION_ERRORS, type_of
from xtune.data.sources.files import FilesSource
from xtune.data.sources.hub import HubSource
from xtune.data.sources.json_reader import read_json
from xtune.data.sources.lines import located, whole_text
from xtune.data.sources.modelscope import ModelScopeSource
from xtune.data.sources.readers import read_csv
from xtune.errors import DataError, UsageError, did_you_mean
from xtune.local_path import not_there
from xtune.names import MODELSCOPE, Kind, kind_of

__all__ = ["DATA_VARIABLE", "Part", "Published", "Row", "chosen_subjects", "damaged", "field"]

DATA_VARIABLE = "XTUNE_EVAL_DATA"  # a folder of benchmarks

Row = tuple[str, dict[str, Any]]

_ARCHIVES = {".zip", ".tar", ".tgz", ".7z"}
_NAMED = 8  # of missing subjects

_KINDS: dict[type, str] = {str: "a text", list: "a list", dict: "an object"}


@dataclass(frozen=True, slots=True)
class Part:
    """A split of a benchmark, or of one of its subjects.

    Attributes:
        patterns: globs of its files, from the benchmark's folder; the first that finds any counts.
        split: its name on the hub, and in the parquet files of a copy of the hub.
        config: the hub's configuration that it belongs to.
        columns: the fields of a CSV file that has no header; a copy with one is read by it.
        items: how many rows were published, if anybody knows.
    """

    patterns: str | tuple[str, ...]
    split: str
    config: str | None = None
    columns: tuple[str, ...] = ()
    items: int | None = None

    def names(self) -> tuple[str, ...]:
        """Return every pattern to look for: the published names, then those of the hub's files."""
        own = (self.patterns,) if isinstance(self.patterns, str) else self.patterns
        folder = f"{self.config}/" if self.config else ""
        hub = (f"{folder}{self.split}-*.parquet", f"data/{self.split}-*.parquet")
        return (*own, *(hub[:1] if self.config else hub[1:]))


class Published:
    """The files of one benchmark.

    Args:
        task: its name, and that of its folder in a folder of benchmarks; case, '-' and '_' there
            do not matter.
        data_path: see the module.
        source: where the files can be had, for messages.
        folders: further names that its folder has, as the archive unpacks.

    Raises:
        UsageError: neither a folder nor an id is given, or no such folder is there.
    """

    def __init__(
        self, task: str, data_path: str | None, *, source: str, folders: Sequence[str] = ()
    ) -> None:
        self.task = task
        self.source = source
        self.hub_id: str | None = None
        self.folders: tuple[Path, ...] = ()
        given = data_path or os.environ.get(DATA_VARIABLE) or ""
        base = Path(given).expanduser()
        if not given:
            raise UsageError(
                f"{task} needs its files: name the folder that holds them (data_path='FOLDER', "
                f"--data FOLDER), or set ${DATA_VARIABLE} to a folder with {task}/ in it. They are "
                f"from {source}"
            )
        if base.is_dir():
            self.folders = tuple(_places(base, (task, *folders)))
        elif base.is_file():
            way = f"give the folder that holds it: {str(base.parent)!r}"
            if _ARCHIVES & {suffix.lower() for suffix in base.suffixes}:
                way = "unpack it, and give the folder"
            raise UsageError(f"{task}: data_path {given!r} is a file; {way}")
        elif kind_of(given) in (Kind.HUB, Kind.MODELSCOPE):
            self.hub_id = given
        else:
            raise UsageError(
                f"{task}: {not_there(given)} {task}'s files are from {source}; or give a hub id "
                f"'owner/name' or '{MODELSCOPE}owner/name'"
            )

    def files(self, *patterns: str) -> list[Path]:
        """Return the files of the first pattern that finds any, sorted; none if none does."""
        for folder in self.folders:
            for pattern in patterns:
                found = sorted(path for path in folder.glob(pattern) if path.is_file())
                if found:
                    return found
        return []

    def missing(self, parts: Iterable[Part]) -> list[Part]:
        """Return the parts without a file; a hub is not asked."""
        return [] if self.hub_id else [part for part in parts if not self.files(*part.names())]

    def require(self, *parts: Part) -> None:
        """Refuse to go on without these parts.

        Raises:
            UsageError: one has no file; says which were looked for, where, and their source.
        """
        if lacking := self.missing(parts):
            wanted = "; ".join(" or ".join(part.names()) for part in lacking)
            raise UsageError(f"{self.task}: {self._looked_for(wanted)}")

    def rows(self, part: Part) -> Iterator[Row]:
        """Yield the rows of a part with their place, 'test/astronomy_test.csv:12'.

        Raises:
            UsageError: it has no file.
            DataError: a file or a row of it is damaged; names the file and the line.
        """
        if self.hub_id is not None:
            yield from self._hub_rows(self.hub_id, part)
            return
        self.require(part)
        for file in self.files(*part.names()):
            for where, row in _read(file, part.columns):
                yield self.place(where), row

    def count_notice(self, found: int, parts: Mapping[str, Part], split: str) -> str:
        """Return what to say where a split has not as many rows as were published, or ''.

        Args:
            found: rows.
            parts: the benchmark's splits by name, with their `items`.
            split: which the rows are.
        """
        wanted = parts[split].items
        if wanted is None or found == wanted:
            return ""
        like = next((name for name, part in parts.items() if part.items == found), None)
        what = f"as many as its {like} split has" if like else "a partial copy"
        if found > wanted:
            what = what if like else "not the published one"
        return f"{found:,} of {wanted:,} rows of {split}: {what}"

    def document(self, *patterns: str) -> Iterator[tuple[str, Any]]:
        """Yield the whole JSON value of each file, with its place, where rows lie deep in it.

        Raises:
            UsageError: there is no such file.
            DataError: it is broken; with the line.
        """
        part = Part(patterns, split="")
        files = self.files(*patterns)
        if not files:
            self.require(part)
        for file in files:
            yield self.place(str(file)), _document(file)

    def text(self, *patterns: str) -> str:
        """Return the text of the one file that a pattern finds.

        Raises:
            UsageError: there is no such file.
            DataError: it is not UTF-8.
        """
        files = self.files(*patterns)
        if not files:
            raise UsageError(f"{self.task}: {self._looked_for(' or '.join(patterns))}")
        return whole_text(files[0])

    def place(self, where: str) -> str:
        """Return where a row stands without the folder before it: equal on every machine."""
        inside = [str(folder) for folder in self.folders if where.startswith(f"{folder}{os.sep}")]
        return where.removeprefix(max(inside, key=len, default="")).removeprefix(os.sep)

    def name(self) -> str:
        """Return what the rows come from, for the result's settings: the id, or 'folder'."""
        return self.hub_id or "folder"

    def _hub_rows(self, hub_id: str, part: Part) -> Iterator[Row]:
        if hub_id.startswith(MODELSCOPE):
            path = hub_id.removeprefix(MODELSCOPE)
            yield from ModelScopeSource(path, split=part.split, name=part.config).rows()
        else:
            yield from HubSource(hub_id, split=part.split, name=part.config).rows()

    def _looked_for(self, wanted: str) -> str:
        if self.hub_id is not None:
            return f"{self.hub_id} is a hub's id, and this needs files: {wanted}"
        there = [folder for folder in self.folders if folder.is_dir()]
        return (
            f"no {wanted} in {' or '.join(map(str, there))}. The files are from {self.source}; a "
            f"partial copy must keep their names"
        )


def chosen_subjects(
    task: str,
    known: Sequence[str],
    chosen: Sequence[str] | None,
    published: Published,
    parts: Mapping[str, Sequence[Part]],
) -> list[str]:
    """Return the subjects to ask about, all of which must be there.

    Args:
        task: the benchmark's name.
        known: all its subjects.
        chosen: some of them; None: all.
        published: its files.
        parts: of each known subject.

    Raises:
        UsageError: a chosen subject is unknown, or one has no file; names those that are missing
            and those that are there.
    """
    if chosen is not None:
        if isinstance(chosen, str):
            raise UsageError(f"{task}: subjects is a list, subjects=[{chosen!r}]")
        for subject in chosen:
            if subject not in known:
                raise UsageError(
                    f"{task} has no subject {subject!r}{did_you_mean(subject, known) or ';'} "
                    f"it has {', '.join(known)}"
                )
        if not chosen:
            raise UsageError(f"{task}: subjects=[] leaves nothing to ask")
    wanted = list(known if chosen is None else dict.fromkeys(chosen))
    lacking = [subject for subject in wanted if published.missing(parts[subject])]
    if not lacking:
        return wanted
    if len(lacking) == len(wanted):
        published.require(*parts[lacking[0]])
    here = [subject for subject in known if not published.missing(parts[subject])]
    listed = f"[{', '.join(map(repr, here[:3]))}{', …' if len(here) > 3 else ''}]"
    wanted_files = " and ".join(part.names()[0] for part in parts[lacking[0]])
    more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
    raise UsageError(
        f"{task}: {len(lacking)} of {len(wanted)} subjects have no file: "
        f"{', '.join(lacking[:_NAMED])}{more} (looked for {wanted_files} in "
        f"{published.folders[0]}). Add them from {published.source}, or choose: "
        f'subjects={listed}, --task-options "{task}.subjects={listed}"'
    )


def field(row: Mapping[str, Any], where: str, *names: str, kind: type = str) -> Any:
    """Return the value that a row has under the first of some names that it has.

    Args:
        row: of a file.
        where: it stands.
        names: of the field, the usual one first.
        kind: what the value must be: str, list, dict, or object for any.

    Raises:
        DataError: the row has none of them, or something else in it; names file and line.
    """
    for name in names:
        if name in row:
            value = row[name]
            if not isinstance(value, kind):
                raise damaged(where, f"{name!r} must be {_KINDS[kind]}, not {value!r:.60}")
            return value
    wanted = " or ".join(map(repr, names))
    raise damaged(where, f"no field {wanted}; the row has {', '.join(map(repr, row)) or 'none'}")


def damaged(where: str, what: str) -> DataError:
    """Return the error for a row that no question can be made of.

    Args:
        where: the row stands: the file and the line.
        what: is wrong with it, a clause.
    """
    return DataError(f"{where}: {what}. Mend the row, or take the file anew")


def _document(file: Path) -> Any:
    """Return the JSON value that a whole file is.

    Raises:
        DataError: it is none; names the file and the line.
    """
    try:
        return json_text.loads(whole_text(file))
    except (OSError, *DECOMPRESSION_ERRORS) as error:
        raise DataError(f"{file}: cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        what = getattr(error, "msg", None) or error
        raise DataError(f"{located(file, line)}: broken JSON: {what}") from error


def _places(base: Path, names: Sequence[str]) -> Iterator[Path]:
    """A benchmark's own folder in a folder of benchmarks, then the folder itself."""
    plain = {_plain(name) for name in names}
    own = sorted(one for one in base.iterdir() if one.is_dir() and _plain(one.name) in plain)
    for folder in (*own, base):
        yield folder
        if (folder / "data").is_dir():
            yield folder / "data"


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _read(file: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    """The rows of one file, by the end of its name."""
    kind = type_of(file)
    if kind == ".csv" and columns and not _has_header(file, columns):
        yield from _csv_rows(file, columns)
    elif kind == ".txt":  # RACE calls its JSON so
        yield from read_json(file)
    else:
        yield from FilesSource(str(file)).rows()


def _csv_rows(file: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    try:
        yield from read_csv(file, fields=columns)
    except (OSError, *DECOMPRESSION_ERRORS) as error:
        raise DataError(f"{file}: cannot be read: {error}") from error


def _has_header(file: Path, columns: tuple[str, ...]) -> bool:
    """Whether the first line names fields: then it names the first and the last at least."""
    try:
        first = next(read_csv(file, lambda _: None, fields=columns), None)
    except (OSError, *DECOMPRESSION_ERRORS) as error:
        raise DataError(f"{file}: cannot be read: {error}") from error
    cells = [] if first is None else [str(cell).lower() for cell in first[1].values()]
    return columns[0].lower() in cells and columns[-1].lower() in cells
