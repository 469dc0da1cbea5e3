"""run.json: what a run says of itself, for who looks at its folder: how it does, and what it reads.

    state       training, finished, stopped (by a signal), failed; `why` in words
    pid, host   of its main process: one that trains and is no longer there has been killed
    max_steps   of the whole run
    data        the token caches of `train` and `validation`, for those that have some
    tokenizer   what made the tokens, and `vocabulary`, a digest of what it must know

Nobody needs it to go on with a run.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from xtune.data.dataset import CachedDataset
from xtune.engine.identity import vocabulary_digest

if TYPE_CHECKING:
    from xtune.engine.run import Run

__all__ = ["RECORD", "RunRecord", "read_record"]

RECORD = "run.json"
_FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What run.json holds; see above.

    Attributes:
        config: name of the sheet.
        began, ended: seconds since 1970; ended is None while it trains.
    """

    config: str
    began: float
    pid: int
    host: str
    max_steps: int
    tokenizer: str
    vocabulary: str
    data: Mapping[str, Sequence[Mapping[str, Any]]]
    state: str = "training"
    why: str = ""
    ended: float | None = None

    @classmethod
    def of(cls, run: Run) -> Self:
        """Return what a run says that is about to train.

        Args:
            run: whose data are prepared.
        """
        datasets: dict[str, Any] = {"train": run.train_dataset, "validation": run.val_dataset}
        return cls(
            config=run.sheet.name,
            began=time.time(),
            pid=os.getpid(),
            host=socket.gethostname(),
            max_steps=run.max_steps,
            tokenizer=run.recipe.tokenizer,
            vocabulary=vocabulary_digest(run.tokenizer),
            data={
                part: [asdict(source) for source in dataset.sources]
                for part, dataset in datasets.items()
                if isinstance(dataset, CachedDataset)
            },
        )

    def write(self, work_dir: Path) -> None:
        """Write it; whoever reads meanwhile finds what was there before.

        Args:
            work_dir: of the run.
        """
        text = json.dumps({"format_version": _FORMAT_VERSION, **asdict(self)}, indent=1)
        temporary = work_dir / f".{RECORD}.tmp"
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(work_dir / RECORD)

    def end(self, work_dir: Path, state: str, why: str = "") -> None:
        """Write how it ended; a disk that is full is not worth another error.

        Args:
            work_dir: of the run.
            state: see above.
            why: in words.
        """
        with suppress(OSError):
            replace(self, state=state, why=why, ended=time.time()).write(work_dir)

    @property
    def is_lost(self) -> bool:
        """Whether it says that it trains, and its process is no longer there."""
        if self.state != "training" or self.host != socket.gethostname():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:  # another user's
            return False
        return False


def read_record(path: Path) -> RunRecord | None:
    """Return what a run has said of itself; None where it has not, or of another version.

    Args:
        path: of run.json.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("format_version") != _FORMAT_VERSION:
            return None
        known = {field.name for field in fields(RunRecord)}
        record = RunRecord(**{name: value for name, value in values.items() if name in known})
        _require_types(record)
        return record
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _require_types(record: RunRecord) -> None:
    texts = (record.config, record.host, record.tokenizer, record.vocabulary)
    numbers = (record.began, record.pid, record.max_steps, record.ended or 0)
    if not all(isinstance(text, str) for text in (*texts, record.state, record.why)):
        raise TypeError("a text is none")
    if not all(isinstance(number, int | float) for number in numbers) or not record.pid > 0:
        raise TypeError("a number is none")
    if not all(isinstance(sources, list) for sources in record.data.values()):
        raise TypeError("sources are none")
