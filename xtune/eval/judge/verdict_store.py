"""Every answer of a judge, one JSON object a line, kept as it comes: what makes a run resumable."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xtune.errors import DataError
from xtune.eval.judge.forms import Verdict, read_verdict
from xtune.eval.judge.requests import Request

__all__ = ["VerdictStore"]


class VerdictStore:
    """A file of verdicts, found again by what was asked of whom.

    A line has the judge's raw text, so that what counts as a verdict is read anew each time. A
    torn last line, of a run that was killed, is cut off.

    Args:
        path: of the file; made with the first verdict.

    Raises:
        DataError: it is not such a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._attempts: dict[str, list[dict[str, Any]]] = {}
        if path.exists():
            self._load()

    def attempts(self, key: str) -> list[dict[str, Any]]:
        """Return what was answered to a request, first attempt first; no refusals.

        Args:
            key: the request's, with its judge.
        """
        return self._attempts.get(key, [])

    def verdict(self, key: str, form: str) -> Verdict | None:
        """Return the first attempt's verdict that is in form.

        Args:
            key: the request's, with its judge.
            form: that it should have.
        """
        for attempt in self.attempts(key):
            if (found := read_verdict(form, attempt["raw"])) is not None:
                return found
        return None

    def add(self, key: str, request: Request, judge: str, said: Mapping[str, Any]) -> None:
        """Keep an answer, on disk before this returns.

        Args:
            key: the request's, with its judge.
            request: what was asked.
            judge: whom, for people.
            said: `raw`, `attempt`, `temperature`, `cut`; or `refused` with the reason.
        """
        verdict = read_verdict(request.prompt.form, said["raw"]) if "raw" in said else None
        line = {
            "key": key,
            "question": request.question,
            "category": request.category,
            "shown": list(request.shown),
            "judge": judge,
            "prompt_id": request.prompt.id,
            "prompt_hash": request.prompt_hash,
            **said,
            "status": "refused" if "refused" in said else _status(verdict),
            "scores": list(verdict.scores) if verdict else [],
            "preference": verdict.preference if verdict and len(request.shown) == 2 else None,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._remember(line)

    def _remember(self, line: dict[str, Any]) -> None:
        if "raw" in line:
            self._attempts.setdefault(line["key"], []).append(line)

    def _load(self) -> None:
        whole = self.path.read_bytes()
        ended = whole.rfind(b"\n") + 1
        for number, text in enumerate(whole[:ended].splitlines(), 1):
            try:
                line = json.loads(text)
                if not isinstance(line["key"], str) or not isinstance(line.get("raw", ""), str):
                    raise TypeError("key and raw must be texts")
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{self.path}:{number} is no verdict ({error}); name another folder: --out DIR"
                ) from error
            self._remember(line)
        if ended < len(whole):
            with self.path.open("r+b") as file:
                file.truncate(ended)


def _status(verdict: Verdict | None) -> str:
    return "invalid" if verdict is None else "repaired" if verdict.repaired else "read"
