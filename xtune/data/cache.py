"""The token cache: samples tokenised once, then memory-mapped.

    $XTUNE_CACHE/tokens/<key>/        XTUNE_CACHE: default ~/.cache/xtune
        ids.bin       int32, all samples end to end
        trained.bin   uint8, 1 where the id is a label
        weights.bin   and so on: a vector of the samples, by its name, only where some have it;
                      a number for each token, or for each sample (xtune/vectors.py)
        offsets.npy   int64 [samples + 1], where each sample begins
        report.json   what became of the rows; checksums, its own too; written last

A folder is written under a temporary name, synced and renamed, so that what has the right name is
whole. One process writes, the others wait for its lock.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from xtune.data.groups import bounds_of
from xtune.data.writer import WriterNote, only_writer
from xtune.errors import DataError
from xtune.parallel.progress import beat
from xtune.paths import cache_root
from xtune.structures import IGNORE_INDEX, Sample
from xtune.vectors import VECTORS

__all__ = ["TokenCache", "open_cache", "read_cache"]

_LOG = logging.getLogger(__name__)
_FILES = ("ids.bin", "trained.bin", "offsets.npy")
_WEIGHTS_ALONE = {"weights": ["label", "float32", 1]}  # in caches that do not tell of vectors
_KEY = re.compile(r"[0-9a-f]{32}")
_BLOCK = 256  # samples that are counted at once: numpy holds 8 bytes for each of their tokens


class TokenCache:
    """Samples in a folder, read through memory maps.

    Attributes:
        key: names its folder.
        offsets: int64 [N + 1].
        checksums: of its files.
        report: what the writer gave.

    Args:
        folder: a whole cache folder.

    Raises:
        Exception: it is not whole; of what kind depends on the damage.
    """

    def __init__(self, folder: Path) -> None:
        meta = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        if _checksum_of(meta["report"], meta["checksums"]) != meta["own_checksum"]:
            raise ValueError("report.json does not have the checksum that it was written with")
        for name in {*_FILES, *meta["checksums"]}:
            if _checksum(folder / name) != meta["checksums"][name]:
                raise ValueError(f"{name} does not have the checksum that it was written with")
        self.key = folder.name
        self.checksums: dict[str, int] = meta["checksums"]
        self.report: dict[str, Any] = meta["report"]
        self.offsets: np.ndarray = np.load(folder / "offsets.npy")
        self._ids = np.memmap(folder / "ids.bin", dtype=np.int32, mode="r")
        self._trained = np.memmap(folder / "trained.bin", dtype=np.uint8, mode="r")
        self._vectors: dict[str, np.ndarray] = {}
        for file in sorted(meta["checksums"].keys() - set(_FILES)):
            name = file.removesuffix(".bin")
            if meta.get("vectors", _WEIGHTS_ALONE)[name] != _meaning(name):
                raise ValueError(f"{file} was written when {name!r} was declared otherwise")
            self._vectors[name] = np.memmap(folder / file, dtype=VECTORS[name].dtype, mode="r")

    @property
    def vectors(self) -> frozenset[str]:
        """Names of the numbers that its samples have besides ids and labels."""
        return frozenset(self._vectors)

    def largest_id(self) -> int:
        """Return the largest token id of all samples; -1 if there are none."""
        return int(self._ids.max()) if len(self._ids) else -1

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each sample, int64 [N]."""
        return np.diff(self.offsets)

    @property
    def trained_lengths(self) -> np.ndarray:
        """Tokens of each sample that have a label, int64 [N]."""
        counted = np.empty(len(self), dtype=np.int64)
        for first in range(0, len(self), _BLOCK):
            offsets = self.offsets[first : first + _BLOCK + 1]
            trained = self._trained[offsets[0] : offsets[-1]]
            starts = offsets[:-1] - offsets[0]
            counted[first : first + _BLOCK] = np.add.reduceat(trained, starts, dtype=np.int64)
        return counted

    @property
    def bounds(self) -> np.ndarray:
        """Where groups of samples begin, and N: int64 [groups + 1]; see groups.py."""
        if "side" not in self._vectors:  # each stands alone
            return np.arange(len(self) + 1)
        return bounds_of(self._vectors["side"])

    def sample(self, index: int) -> Sample:
        """Return one sample, copied out of the map."""
        place = slice(self.offsets[index], self.offsets[index + 1])
        ids = np.array(self._ids[place])
        labels = np.where(self._trained[place], ids, np.int32(IGNORE_INDEX))
        sample = Sample(ids, labels)
        for name, values in self._vectors.items():
            if VECTORS[name].kind == "document":
                sample.per_document[name] = values[index].item()
            else:
                sample.per_token[name] = values[place].copy()
        return sample


def open_cache(
    key: str,
    chunks: Callable[[], Iterable[list[Sample]]],
    report: Callable[[], dict[str, Any]],
    *,
    read_report: Callable[[dict[str, Any]], object] = dict,
) -> TokenCache:
    """Open the cache of this key; where there is none, or a damaged one, write it first.

    Args:
        key: names the folder; see fingerprint.py.
        chunks: makes the samples, in order; called only if they are needed.
        report: what to store next to them; called after the last sample.
        read_report: what will be done with it; if that fails, the cache is damaged.

    Raises:
        DataError: the folder cannot be written.
    """
    folder = cache_root() / "tokens" / key
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with only_writer(folder) as note:
            if os.path.lexists(folder):
                try:
                    cache = TokenCache(folder)
                    read_report(cache.report)
                    return cache
                except Exception as error:  # whatever it is, the rows are there to be read again
                    why = f"{type(error).__name__}: {error}"
                    _LOG.warning("token cache %s is damaged (%s): writing it anew", folder, why)
                    _remove(folder)
            _write(folder, chunks(), report, note)
            return TokenCache(folder)
    except OSError as error:
        raise DataError(
            f"the token cache {folder} cannot be written: {error}. {_advice(error, folder)}"
        ) from error


def read_cache(key: str) -> TokenCache:
    """Return the cache of this key as it is; nothing is written.

    Args:
        key: of one that was written before.

    Raises:
        DataError: there is none, or it is damaged.
    """
    folder = cache_root() / "tokens" / key
    if not _KEY.fullmatch(key) or not folder.is_dir():
        raise DataError(
            f"the token cache {key!r} is not in {folder.parent}: it was removed, or lies where "
            "another XTUNE_CACHE says"
        )
    try:
        return TokenCache(folder)
    except Exception as error:  # whatever it is, nobody can read it
        raise DataError(
            f"the token cache {folder} is damaged ({type(error).__name__}: {error}); the next run "
            "on these data writes it anew"
        ) from error


def _remove(damaged: Path) -> None:
    if damaged.is_dir() and not damaged.is_symlink():
        shutil.rmtree(damaged)
    else:  # a file where the folder belongs
        damaged.unlink()


def _advice(error: OSError, folder: Path) -> str:
    another = "name another folder: export XTUNE_CACHE=/path"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        parents = (place for place in folder.parents if os.path.lexists(place))
        file = next((place for place in parents if not place.is_dir()), folder)
        return f"{file} is a file where a folder belongs: move it away, or {another}"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"This user may not write there: {another}"
    return f"Free some space, or {another}"


def _write(
    folder: Path,
    chunks: Iterable[list[Sample]],
    report: Callable[[], dict[str, Any]],
    note: WriterNote,
) -> None:
    temporary = folder.with_suffix(".tmp")  # a killed writer's: the lock says that none is alive
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        offsets = array("q", [0])
        with (
            open(temporary / "ids.bin", "wb") as ids,
            open(temporary / "trained.bin", "wb") as trained,
            ExitStack() as opened,
        ):
            vectors: dict[str, BinaryIO] = {}
            for sample in _flat(chunks, note):
                ids.write(sample.input_ids.astype(np.int32, copy=False).tobytes())
                trained.write((sample.labels != IGNORE_INDEX).tobytes())
                given = sample.per_token | sample.per_document
                for name in given.keys() - vectors.keys():
                    vectors[name] = opened.enter_context(open(temporary / f"{name}.bin", "wb"))
                    for begin, end in pairwise(offsets):  # of the samples before it
                        vectors[name].write(VECTORS[name].neutrals(end - begin).tobytes())
                for name, file in vectors.items():
                    file.write(_values(name, given.get(name), len(sample)).tobytes())
                offsets.append(offsets[-1] + len(sample))
        np.save(temporary / "offsets.npy", np.frombuffer(offsets, dtype=np.int64))
        written = [*_FILES, *(f"{name}.bin" for name in vectors)]
        checksums = {name: _checksum(temporary / name) for name in written}
        told = json.loads(json.dumps(report()))  # as it will be read
        meta = {
            "report": told,
            "checksums": checksums,
            "vectors": {name: _meaning(name) for name in vectors},
            "own_checksum": _checksum_of(told, checksums),
        }
        (temporary / "report.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
        for name in (*written, "report.json"):
            with open(temporary / name, "rb+") as file:
                os.fsync(file.fileno())
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _flat(chunks: Iterable[list[Sample]], note: WriterNote) -> Iterator[Sample]:
    samples = 0
    for chunk in chunks:
        yield from chunk
        samples += len(chunk)
        note.tell(samples)


def _meaning(name: str) -> list[Any]:
    return [VECTORS[name].kind, VECTORS[name].dtype, VECTORS[name].neutral]


def _values(name: str, given: Any, tokens: int) -> np.ndarray:
    """A sample's part of a vector's file."""
    neutrals = VECTORS[name].neutrals(tokens)
    if given is None:
        return neutrals
    values = np.asarray(given, dtype=neutrals.dtype).reshape(-1)
    if values.shape != neutrals.shape:
        raise DataError(
            f"a sample of {tokens} tokens has {len(values)} numbers in {name!r}, which is declared "
            f"as kind={VECTORS[name].kind!r}: give {len(neutrals)}"
        )
    return values


def _checksum_of(*values: Any) -> int:
    return zlib.crc32(json.dumps(values, sort_keys=True).encode())


def _checksum(path: Path) -> int:
    checksum = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 22):
            beat()
            checksum = zlib.crc32(block, checksum)
    return checksum
