"""Types of files that are not read here, by their suffix, and what to make of each."""

from __future__ import annotations

from pathlib import Path

from xtune.data.sources.compression import COMPRESSED_INSIDE, COMPRESSIONS

__all__ = ["advice_of"]

_TABLE = "a spreadsheet: save it as CSV UTF-8 (one table, its first line names the fields)"
_ARCHIVE = "an archive: unpack it, and name the files in it"
_DOCUMENT = "a document: save its text as UTF-8 in a .txt file"
_PICKLE = (
    "a pickle, which could run any code when it is read: whoever made it can write .jsonl or "
    ".parquet"
)
_DATABASE = "a database: write the rows of a query into a .csv or .jsonl file"
_MARKUP = "no list of rows: write each row as a JSON object on a line of its own, in a .jsonl file"
_PICTURE = "a picture or a sound, and only text is trained on"

_ADVICE = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers"), _TABLE),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".tbz2", ".txz", ".7z", ".rar"), _ARCHIVE),
    **dict.fromkeys((".doc", ".docx", ".odt", ".rtf", ".pdf", ".epub"), _DOCUMENT),
    **dict.fromkeys((".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib"), _PICKLE),
    **dict.fromkeys((".db", ".sqlite", ".sqlite3", ".mdb"), _DATABASE),
    **dict.fromkeys((".yaml", ".yml", ".xml", ".toml"), _MARKUP),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".gif", ".webp", ".wav", ".mp3", ".mp4"), _PICTURE),
    **dict.fromkeys((".md", ".html", ".htm", ".log"), "text: give its name the end .txt"),
    **dict.fromkeys((".pq", ".parq"), "a parquet file by its name: give it the end .parquet"),
    **dict.fromkeys((".jsonlines", ".jl"), "JSON lines by its name: give it the end .jsonl"),
    ".tab": "a table by its name: give it the end .tsv",
    ".feather": "an Arrow file by its name: give it the end .arrow",
    ".ipc": "an Arrow file by its name: give it the end .arrow",
    ".orc": "a table of ORC: python -c \"import pandas; pandas.read_orc('THIS')"
    ".to_json('rows.jsonl', orient='records', lines=True)\" writes JSON lines",
    **dict.fromkeys(
        (".npy", ".npz", ".h5", ".hdf5"), "an array of numbers: write rows into a .jsonl file"
    ),
}
_OTHERWISE_COMPRESSED = (".lz4", ".lzma", ".br", ".z", ".sz", ".snappy")


def advice_of(path: Path) -> str:
    """Return what a file is by its name, and what to do with it; '' if nobody knows.

    >>> advice_of(Path('rows.xlsx'))
    'a spreadsheet: save it as CSV UTF-8 (one table, its first line names the fields)'
    >>> advice_of(Path('rows.gz'))
    'compressed, but not said what: name it like what is in it, rows.jsonl.gz or rows.csv.gz'
    """
    suffixes = [suffix.lower() for suffix in path.suffixes] or [""]
    last = suffixes[-1]
    if last in _OTHERWISE_COMPRESSED:
        return f"compressed in a way that is not read: unpack it, or use {', '.join(COMPRESSIONS)}"
    if last not in COMPRESSIONS:
        return _ADVICE.get(last, "")
    inner = suffixes[-2] if len(suffixes) > 1 else ""
    if inner in COMPRESSED_INSIDE:
        return f"compressed inside already: unpack it to {path.stem}"
    if inner in _ADVICE:
        return _ADVICE[inner]
    name = path.stem if not inner else path.name.partition(".")[0]
    return (
        f"compressed, but not said what: name it like what is in it, {name}.jsonl{last} or "
        f"{name}.csv{last}"
    )
