"""The judge that a user names: a URL, or a model."""

from __future__ import annotations

from xtune.agents.remote import is_url
from xtune.errors import UsageError
from xtune.eval.judge.base import Judge
from xtune.eval.judge.remote_judge import RemoteJudge

__all__ = ["open_judge"]


def open_judge(given: str, *, served_model: str, max_new_tokens: int, concurrency: int) -> Judge:
    """Return the judge that a user names.

    Args:
        given: a URL, or whatever `xtune chat` takes for a model.
        served_model: where it is a URL: the model's name there; '' for the only one.
        max_new_tokens: of a verdict.
        concurrency: requests at once; of a local model, rows of a batch.

    Raises:
        UsageError: `served_model` is given for a local model, or what `RemoteJudge` raises.
        ModelError: the model cannot be reached or loaded.
    """
    if is_url(given):
        return RemoteJudge(
            given, served_model, max_new_tokens=max_new_tokens, concurrency=concurrency
        )
    if served_model:
        raise UsageError(f"--served-model is for a URL, and --judge {given} is none")
    from xtune.eval.judge.local_judge import LocalJudge  # imports torch

    return LocalJudge.load(given, max_new_tokens=max_new_tokens, batch_size=concurrency)
