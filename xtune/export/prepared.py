"""What every export begins with: chat's own answers, then one model with its adapter merged in."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtune.data.plain_text import PlainText
from xtune.data.templates.render import own_renderer
from xtune.errors import ModelError
from xtune.export.parity import Answers, answers_of, logits_of, parity_problem
from xtune.export.proof.dialogues import Dialogue
from xtune.export.proof.reference import Reference, reference_of
from xtune.export.system_text import write_system_into
from xtune.models import load_adapter, load_model, load_tokenizer, merge_adapter
from xtune.models.packed.quantizer import unpack_linears

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

__all__ = ["Prepared", "Session", "asked", "merged", "opened", "prepared"]


@dataclass(slots=True)
class Prepared:
    """A model that is ready to be written.

    Attributes:
        llm: without an adapter; in the format asked for.
        tokenizer: the one trained with; its template writes the run's system text.
        reference: what chat computes.
        plain: the reference's dialogues, control texts parted as chat does.
        logits: of base and adapter, of tokens from all over the vocabulary.
        compared_with: the reference, for people.
    """

    llm: Any
    tokenizer: PreTrainedTokenizerBase
    reference: Reference
    plain: list[Dialogue]
    logits: Tensor
    compared_with: str


@dataclass(slots=True)
class Session:
    """A model as chat opens it.

    Attributes:
        tokenizer: the one trained with.
        written: the same, its template writing the run's system text.
        loaded: gives the model in a number format, its adapter unmerged on it.
        notes: of the training.
    """

    tokenizer: PreTrainedTokenizerBase
    written: PreTrainedTokenizerBase
    loaded: Callable[[str], Any]
    notes: Mapping[str, Any]


def opened(
    name: str,
    adapter: Path | None,
    notes: Mapping[str, Any],
    *,
    load: Callable[..., Any] = load_model,
) -> Session:
    """Open a model's tokenizer; weights are loaded when they are asked for.

    Args:
        name: what `load_model` takes.
        adapter: an adapter's folder, or None.
        notes: template, stop words and system prompt of the training.
        load: gives the base.
    """
    has_tokenizer = adapter is not None and (adapter / "tokenizer_config.json").is_file()
    tokenizer = load_tokenizer(str(adapter) if has_tokenizer else name)
    written = copy.deepcopy(tokenizer)
    write_system_into(written, str(notes.get("system") or ""))

    def loaded(number: str) -> Any:
        llm: Any = load(name, dtype=number)
        return llm if adapter is None else load_adapter(llm, adapter).eval()

    return Session(tokenizer, written, loaded, notes)


def asked(session: Session, own: Sequence[Dialogue], llm: Any) -> tuple[Reference, list[Dialogue]]:
    """Ask a model as chat does.

    Args:
        session: of `opened`.
        own: dialogues of the run.
        llm: the session's, loaded.

    Returns:
        The reference, and its dialogues with control texts made plain.
    """
    reference = reference_of(
        llm,
        session.tokenizer,
        own,
        system=str(session.notes.get("system") or ""),
        stop_words=session.notes.get("stop_words") or (),
    )
    return reference, _as_chat_has_them(reference, session.tokenizer)


def prepared(
    name: str,
    adapter: Path | None,
    notes: Mapping[str, Any],
    own: Sequence[Dialogue],
    *,
    dtype: str,
) -> Prepared:
    """Ask base and adapter as chat does, then merge.

    Both in one number format: chat may compute in bf16, which alone changes 2 of 100 likeliest
    tokens of SmolLM2 and is no matter of the export.

    Args:
        name: what `load_model` takes.
        adapter: an adapter's folder, or None.
        notes: template, stop words and system prompt of the training.
        own: dialogues of the run.
        dtype: that is merged and written in.

    Raises:
        ModelError: the merged model does not compute what base and adapter do.
    """
    session = opened(name, adapter, notes)
    llm = session.loaded(dtype)
    reference, plain = asked(session, own, llm)
    llm, logits = merged(llm, adapter)
    what = name if adapter is None else f"{name} with the unmerged adapter {adapter}"
    return Prepared(llm, session.written, reference, plain, logits, what)


def _as_chat_has_them(reference: Reference, tokenizer: PreTrainedTokenizerBase) -> list[Dialogue]:
    if not reference.is_chat:
        return reference.dialogues
    render = own_renderer(tokenizer)
    plain, style = PlainText(tokenizer, render.source), None
    made = []
    for one in reference.dialogues:
        messages: list[Any] = list(plain(one.messages))
        if any(message.get("tool_calls") for message in messages):
            style = style or render.call_style
            messages = [style(dict(message)) for message in messages]
        made.append(replace(one, messages=messages))
    return made


def merged(llm: Any, adapter: Path | None) -> tuple[Any, Tensor]:
    """Return the plain model, and the logits that it gave before its adapter was merged.

    Args:
        llm: with the adapter on it, if there is one.
        adapter: None: there is nothing to merge.

    Raises:
        ModelError: the plain model computes something else.
    """
    if adapter is None:
        logits = logits_of(llm)
        unpack_linears(llm)
        return llm, logits
    before: Answers = answers_of(llm.eval())
    plain = merge_adapter(llm)
    if problem := parity_problem(before, answers_of(plain, list(before.layers))):
        raise ModelError(
            f"the merged model is not the base with its adapter: {problem}. Nothing was written; "
            "use the adapter as it is (xtune chat MODEL --adapter DIR), and please report this "
            "with the model's name and adapter_config.json"
        )
    return plain, before.logits
