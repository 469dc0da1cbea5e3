"""What a file of text is encoded in, or what else it is, told from its beginning."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

__all__ = ["advice_for", "binary_kind", "wide_encoding"]

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MAGIC = (
    (b"PK\x03\x04", "a zip archive (an Excel workbook is one): unpack it, or save it as CSV UTF-8"),
    (b"\x1f\x8b", "compressed by gzip: give its name the end .gz"),
    (b"BZh", "compressed by bzip2: give its name the end .bz2"),
    (b"\xfd7zXZ\0", "compressed by xz: give its name the end .xz"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd: give its name the end .zst"),
    (b"PAR1", "a parquet file: give its name the end .parquet"),
    (b"ARROW1", "an Arrow file: give its name the end .arrow"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file: save it as CSV UTF-8"),
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"%PDF", "a PDF"),
    (b"SQLite format 3", "an SQLite database"),
)
# For each encoding, in the order in which they are tried: what its everyday characters are
_EVERYDAY: dict[str, Callable[[str], bool]] = {
    "cp949": lambda c: _lead(c, "euc_kr", 0xA1, 0xC8),
    "gb18030": lambda c: _lead(c, "gb2312", 0xA1, 0xA3) or _lead(c, "gb2312", 0xB0, 0xD7),
    "big5": lambda c: _lead(c, "big5", 0xA1, 0xC6),
    "cp932": lambda c: "\u3000" <= c <= "\u30ff" or _lead(c, "cp932", 0x88, 0x98),
    "cp1252": lambda c: c in "‘’“”–—…€£©®°«»¿¡§\xa0" or ("À" <= c <= "ÿ" and c not in "×÷"),
    "cp1251": lambda c: "А" <= c <= "я" or c in "ёЁ«»–—№",
}
# Korean's bytes are everyday Chinese too; a Chinese text has some that are no Korean, if it is long
_EITHER, _SHORT = "gb18030 or cp949", 10  # characters
_SURE = 0.9  # of the characters that are not ASCII must be everyday ones


def wide_encoding(head: bytes) -> str | None:
    """Return the encoding that a byte order mark names for certain, UTF-8 aside."""
    return next((name for mark, name in _MARKS if head.startswith(mark)), None)


def binary_kind(head: bytes) -> str | None:
    """Return what a file is that is no text, from its first bytes; None if it may be text."""
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if b"\0" not in head or wide_encoding(head) or _looks_wide(head):
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "a binary file"
    return None


def advice_for(content: bytes, name: str) -> str:
    """Return what to do with a file that is not UTF-8.

    Args:
        content: the bytes around the first that are not UTF-8.
        name: of the file.
    """
    if wide := _looks_wide(content):
        return _convert(wide, name)
    content = content[: content.rfind(b"\n") + 1] or content
    lines = [line for line in content.split(b"\n") if not line.isascii()]
    sound = sum(_is_utf8(line) for line in lines)
    if sound > len(lines) / 2:
        return "The lines around it are UTF-8: correct this one, or take it out"
    told = _told(b"\n".join(line for line in lines if not _is_utf8(line)))
    if not told:
        return (
            "Which encoding it has cannot be told; ask who made it, then: "
            f"iconv -f ENCODING -t utf-8 {name} > utf8_{name}"
        )
    if told == _EITHER:
        return (
            "It is Chinese (gb18030) or Korean (cp949), too short to tell which. Convert it from "
            f"each, and see which reads well: iconv -f gb18030 -t utf-8 {name} > utf8_{name}"
        )
    return _convert(told, name)


def _convert(encoding: str, name: str) -> str:
    return (
        f"It looks like {encoding}. Convert it, and see that it reads well: "
        f"iconv -f {encoding} -t utf-8 {name} > utf8_{name}"
    )


def _told(text: bytes) -> str:
    """The encoding in which nearly all is everyday text, '' where it is in none."""
    pairs = sum(map(len, re.findall(rb"[\x80-\xff]{3,}", text)))
    high = sum(byte > 0x7F for byte in text)
    fits, characters = {}, {}
    for encoding, is_everyday in _EVERYDAY.items():
        try:
            made = [c for c in text.decode(encoding) if not c.isascii()]
        except UnicodeDecodeError:
            continue
        if encoding == "cp1252" and pairs > high / 2:
            continue  # no language of Western Europe has such words
        if encoding == "cp1251" and pairs <= high / 2:
            continue
        if encoding == "cp932" and not any("\u3040" <= c <= "\u30ff" for c in made):
            continue
        if made:
            fits[encoding] = sum(map(is_everyday, made)) / len(made)
            characters[encoding] = len(made)
    best = max(fits, key=fits.__getitem__, default="")
    chinese = fits.get("gb18030", 0.0) >= _SURE
    if best == "cp949" and chinese and characters[best] < _SHORT:
        return _EITHER
    return best if best and fits[best] >= _SURE else ""


def _lead(character: str, encoding: str, first: int, last: int) -> bool:
    try:
        encoded = character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return len(encoded) == 2 and first <= encoded[0] <= last


def _looks_wide(content: bytes) -> str:
    """UTF-16 without a mark: every other byte of its ASCII letters is 0."""
    head = content[:64]
    if len(head) >= 4 and head[1::2].count(0) > len(head) // 3 and not head[::2].count(0):
        return "utf-16le"
    if len(head) >= 4 and head[::2].count(0) > len(head) // 3 and not head[1::2].count(0):
        return "utf-16be"
    return ""


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
