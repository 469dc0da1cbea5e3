"""A folder of text, Markdown and PDF as passages that can be searched by their words (BM25)."""

from __future__ import annotations

import io
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xtune.tools.base import ToolError

__all__ = ["Documents", "Passage", "pdf_text", "words"]

_SUFFIXES = (".txt", ".md", ".markdown", ".rst", ".pdf")
_MOST_FILES = 5000
_MOST_BYTES = 20_000_000  # of a file
_MOST_PAGES = 500  # of a PDF
_PASSAGE = 800  # characters, about
_K1, _B = 1.5, 0.75  # BM25: how soon repetition saturates, how much length counts


@dataclass(frozen=True)
class Passage:
    """A piece of a file.

    Attributes:
        where: file and line, or file and page.
        text: as it stands there.
    """

    where: str
    text: str


class Documents:
    """The passages of a folder, read anew when its files change.

    Args:
        folder: searched with all below it; links that lead out of it are not followed.

    Raises:
        ToolError: there is no such folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser().resolve()
        if not self.folder.is_dir():
            raise ToolError(f"there is no folder {str(self.folder)!r} to search in")
        self.unread: dict[str, str] = {}
        self._seen: list[tuple[str, int, int]] = []
        self._passages: list[Passage] = []
        self._lengths: list[int] = []
        self._postings: dict[str, list[tuple[int, int]]] = {}
        self._refresh()

    def search(self, query: str, count: int) -> list[Passage]:
        """Return the passages that fit a query best, best first.

        Args:
            query: words; each that a passage has counts by how rare it is.
            count: at most so many.
        """
        self._refresh()
        total = len(self._passages)
        mean = sum(self._lengths) / total if total else 0.0
        scores: defaultdict[int, float] = defaultdict(float)
        for word in set(words(query)):
            found = self._postings.get(word, [])
            rarity = math.log(1 + (total - len(found) + 0.5) / (len(found) + 0.5))
            for passage, often in found:
                length = 1 - _B + _B * self._lengths[passage] / mean
                scores[passage] += rarity * often * (_K1 + 1) / (often + _K1 * length)
        best = sorted(scores, key=lambda passage: (-scores[passage], passage))[:count]
        return [self._passages[passage] for passage in best]

    @property
    def passages(self) -> tuple[Passage, ...]:
        """All of them, file by file."""
        self._refresh()
        return tuple(self._passages)

    def __len__(self) -> int:
        return len(self._passages)

    def _refresh(self) -> None:
        seen = list(self._files())
        if seen == self._seen:
            return
        self._seen = seen
        self.unread = {}
        self._passages = [passage for name, _, size in seen for passage in self._read(name, size)]
        self._postings = {}
        self._lengths = []
        for at, passage in enumerate(self._passages):
            counted = Counter(words(passage.text))
            self._lengths.append(max(1, counted.total()))
            for word, often in counted.items():
                self._postings.setdefault(word, []).append((at, often))

    def _files(self) -> Iterator[tuple[str, int, int]]:
        found = 0
        for folder, below, names in os.walk(self.folder):
            below[:] = sorted(name for name in below if not name.startswith("."))
            for name in sorted(names):
                path = Path(folder, name)
                if not name.lower().endswith(_SUFFIXES) or name.startswith("."):
                    continue
                try:
                    real = Path(os.path.realpath(path))
                    if not real.is_relative_to(self.folder) or not real.is_file():
                        continue
                    about = path.stat()
                except OSError:
                    continue
                found += 1
                if found > _MOST_FILES:
                    return
                yield str(path.relative_to(self.folder)), about.st_mtime_ns, about.st_size

    def _read(self, name: str, size: int) -> Iterator[Passage]:
        path = self.folder / name
        try:
            if size > _MOST_BYTES:
                raise ToolError(f"larger than {_MOST_BYTES // 1_000_000} MB")
            if name.lower().endswith(".pdf"):
                for number, text in enumerate(pdf_text(path.read_bytes()), start=1):
                    for piece, _ in _pieces(text):
                        yield Passage(f"{name}, page {number}", piece)
            else:
                for piece, line in _pieces(path.read_text("utf-8", errors="replace")):
                    yield Passage(f"{name}, line {line}", piece)
        except (OSError, ToolError) as error:
            self.unread[name] = str(error)


def words(text: str) -> list[str]:
    """Return what a text is searched by: words in small letters, without a plural's s.

    Chinese and Japanese are not written in words: each two neighbouring characters are one.

    >>> words("Fjords of Norway, 挪威的")
    ['fjord', 'of', 'norway', '挪威', '威的']
    """
    found = []
    for word in re.findall(r"[\u3040-\u30ff\u3400-\u9fff]+|[^\W\u3040-\u30ff\u3400-\u9fff]+", text):
        word = word.lower()
        if "\u3040" <= word[0] <= "\u9fff":
            found += [word[at : at + 2] for at in range(max(1, len(word) - 1))]
        elif len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
            found.append(word[:-1])
        else:
            found.append(word)
    return found


def pdf_text(content: bytes) -> Iterator[str]:
    """Yield the text of each page.

    Raises:
        ToolError: it cannot be read, or `pypdf` is not installed.
    """
    try:
        import pypdf
    except ImportError:
        raise ToolError("reading PDF needs pypdf: pip install '.[agent]'") from None
    try:
        for page in pypdf.PdfReader(io.BytesIO(content)).pages[:_MOST_PAGES]:
            yield page.extract_text()
    except Exception as error:  # a parser of damaged files raises whatever it meets
        raise ToolError(f"this PDF cannot be read: {type(error).__name__}: {error}") from error


def _pieces(text: str) -> Iterator[tuple[str, int]]:
    """Paragraphs together up to a passage's length, each with the line it begins at."""
    held: list[str] = []
    begin, size = 1, 0
    for number, line in enumerate(text.splitlines(), start=1):
        full = size > _PASSAGE * 1.5 or (size > _PASSAGE / 2 and not line.strip())
        heading = line.startswith("#") and size > _PASSAGE / 4
        if held and (full or heading):
            yield "\n".join(held).strip(), begin
            held, size = [], 0
        if line.strip() or held:
            if not held:
                begin = number
            for at in range(0, max(1, len(line)), _PASSAGE):  # a file of one endless line
                held.append(line[at : at + _PASSAGE])
                size += len(held[-1]) + 1
                if size > _PASSAGE * 1.5:
                    yield "\n".join(held).strip(), begin
                    held, size, begin = [], 0, number
    if "".join(held).strip():
        yield "\n".join(held).strip(), begin
