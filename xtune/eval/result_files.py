"""Results as files: results.json, items.jsonl, and what a task attaches; written and read again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xtune.errors import DataError, UsageError
from xtune.eval.contamination import Contamination, Overlap
from xtune.eval.results import FORMAT_VERSION, ItemResult, Results, TaskResult
from xtune.eval.store import json_line

__all__ = ["read_results", "write_results"]


def write_results(results: Results, folder: Path) -> Path:
    """Write results.json and items.jsonl; each is whole or is not there.

    Args:
        results: what was found.
        folder: made if it is missing.

    Returns:
        The path of results.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = (json_line(asdict(row)) for task in results.tasks.values() for row in task.rows)
    _replace(folder / "items.jsonl", b"".join(rows))
    for task in results.tasks.values():
        for name, value in task.attachments.items():
            text = json.dumps(value, indent=1, ensure_ascii=False)
            _replace(folder / name, text.encode("utf-8", "backslashreplace"))
    text = json.dumps(results.to_dict(), indent=1) + "\n"
    return _replace(folder / "results.json", text.encode())


def read_results(given: Path | str) -> Results:
    """Read what `write_results` has written.

    Args:
        given: results.json, or the folder that holds it.

    Raises:
        UsageError: there is none.
        DataError: it cannot be read.
    """
    path = Path(given).expanduser()
    file = path / "results.json" if path.is_dir() else path
    if not file.is_file():
        raise UsageError(f"{str(given)!r} has no results.json: give what `xtune eval` has written")
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        if values["format_version"] != FORMAT_VERSION:
            raise DataError(
                f"{file} is of format {values['format_version']}, and this xtune reads "
                f"{FORMAT_VERSION}: measure again, the answers are kept"
            )
        # bytes: texts of models have line ends of other kinds, such as U+2028
        lines = (file.parent / "items.jsonl").read_bytes().splitlines()
        rows = [ItemResult(**json.loads(line)) for line in lines]
        tasks = {
            name: TaskResult(
                task=name,
                headline=task["headline"],
                lower_is_better=task["lower_is_better"],
                ability=task["ability"],
                chance=task["chance"],
                settings=task["settings"],
                first_prompt=task["first_prompt"],
                rows=[row for row in rows if row.task == name],
                overall=task["overall"],
                notices=task["notices"],
                contamination=_contamination_of(task["contamination"]),
                of=task["of"],
                seconds=values["run"]["task_seconds"][name],
            )
            for name, task in values["tasks"].items()
        }
        run = {name: value for name, value in values["run"].items() if name != "task_seconds"}
        return Results(values["name"], values["model"], tasks, values["versions"], run)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} cannot be read as results of `xtune eval`: {error!r}") from error


def _contamination_of(values: Mapping[str, Any] | None) -> Contamination | None:
    if values is None:
        return None
    touched = {name: Overlap(**each) for name, each in values["touched"].items()}
    return Contamination(touched, values["too_short"], values["rows"])


def _replace(path: Path, content: bytes) -> Path:
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(content)
    temporary.replace(path)
    return path
