"""Every answer that a model has given, a line each: an evaluation goes on where it was killed.

A line is found by its key, which is made of what decides the answer (the weights, the tokens, the
settings) and of nothing else: neither a model's name nor the number of processes. So a model that
was trained further gets new answers, and any number of processes go on with what others began.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from xtune.eval.requests import LikelihoodRequest
from xtune.generation.requests import GenerationRequest

__all__ = ["Store", "json_line", "read_lines", "request_key"]


def request_key(subject: str, request: LikelihoodRequest | GenerationRequest) -> str:
    """Return the key of an answer.

    Args:
        subject: who is asked, see `Subject.identity`: weights, tokenizer, dtype, form.
        request: what is asked.
    """
    made = hashlib.sha256(subject.encode())
    if isinstance(request, LikelihoodRequest):
        made.update(f"\nlikelihood {len(request.context)}\n".encode())
        made.update(_bytes(request.context))
        made.update(_bytes(request.continuation))
    else:
        settings = (
            request.stop,
            request.max_new_tokens,
            request.temperature,
            request.top_p,
            request.seed if request.temperature else 0,
        )
        made.update(f"\ngeneration {json.dumps(settings)}\n".encode())
        made.update(_bytes(request.prompt))
    return made.hexdigest()[:32]


class Store:
    """Answers by key: those of a folder's `answers*.jsonl`, and those that are added.

    Each process appends to a file of its own. A last line that was cut off when a process was
    killed is dropped.

    Args:
        folder: made if it is missing; None keeps the answers in memory alone.
        rank: of this process.
    """

    def __init__(self, folder: Path | None = None, *, rank: int = 0) -> None:
        self._answers: dict[str, Any] = {}
        self._file: IO[bytes] | None = None
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob("answers*.jsonl")):
            self._answers |= {row["key"]: row["answer"] for row in read_lines(path)}
        own = folder / ("answers.jsonl" if rank == 0 else f"answers_{rank}.jsonl")
        self._file = own.open("ab")
        if own.stat().st_size and not own.read_bytes().endswith(b"\n"):
            self._file.write(b"\n")  # what was cut off stays a line that nobody can read

    def __contains__(self, key: str) -> bool:
        return key in self._answers

    def __getitem__(self, key: str) -> Any:
        return self._answers[key]

    def get(self, key: str) -> Any | None:
        """Return an answer, or None where there is none."""
        return self._answers.get(key)

    def put(self, key: str, answer: Any) -> None:
        """Keep an answer, on disk before this returns; the first of a key stays.

        Args:
            key: see `request_key`.
            answer: a JSON value.
        """
        if key in self._answers:
            return
        self._answers[key] = answer
        if self._file is not None:
            self._file.write(json_line({"key": key, "answer": answer}))
            self._file.flush()

    def add(self, answers: dict[str, Any]) -> None:
        """Take answers that other processes have kept."""
        self._answers |= {key: value for key, value in answers.items() if key not in self._answers}

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def json_line(value: Any) -> bytes:
    """Return a JSON value as a line of UTF-8; half a surrogate pair, which UTF-8 has not, escaped.

    Args:
        value: of JSON's types.
    """
    try:
        return (json.dumps(value, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(value) + "\n").encode()


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a file, a line each; lines that are none are passed over.

    Args:
        path: of a file that is appended to, whose writers may have been killed.
    """
    with path.open("rb") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:  # cut off when its writer was killed
                continue
            if isinstance(row, dict):
                yield row


def _bytes(ids: Sequence[int]) -> bytes:
    return array("q", ids).tobytes()
