"""What is handed over to another program, and refusals of what it could not run as we do."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtune.checkpoint.meta import weights_apart
from xtune.data.templates.end_ids import end_ids_and_words
from xtune.errors import UsageError
from xtune.generation.locate import locate, training_notes
from xtune.generation.reward_scorer import require_language_model
from xtune.models import load_config, load_tokenizer
from xtune.models.families import translated_config
from xtune.models.loading import published_fields
from xtune.models.source import name_for_others
from xtune.models.vocabulary_rows import without_rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Given"]


@dataclass(frozen=True, slots=True)
class Given:
    """A model as other programs open it.

    Attributes:
        name: for files and tables: of the run, or of the model's folder.
        model: the base, as xtune loads it.
        shown: model and adapter, as they follow a verb of xtune.
        base: a folder's whole path or a hub id, in transformers' own layout.
        adapter: PEFT's folder; None for a whole model.
        tokenizer: the one trained with, its chat template included.
        system: the system text trained with; '' if none.
        stop_words: texts of all tokens that end an answer, and words to look for.
        context: tokens that the model can take.
        notices: what is not handed over, or otherwise than within xtune.
    """

    name: str
    model: str
    shown: str
    base: str
    adapter: Path | None
    tokenizer: PreTrainedTokenizerBase
    system: str
    stop_words: tuple[str, ...]
    context: int | None
    notices: tuple[str, ...]

    @property
    def is_chat(self) -> bool:
        """Whether it has a chat template; a base model is asked with plain texts."""
        return bool(self.tokenizer.chat_template)

    @classmethod
    def find(
        cls, model: str, adapter: str | None = None, *, target: str, any_layout: bool = False
    ) -> Given:
        """Find a model and what belongs to it; no weight is read.

        Args:
            model: a hub id, a folder, a .gguf file, an alias, or a run's work_dir.
            adapter: an adapter's folder, or a work_dir that holds one.
            target: the program, for messages.
            any_layout: the program is given a file that xtune writes, of whatever it reads itself,
                with the adapter merged in.

        Raises:
            UsageError: there is no such model, or another program could not run it as we do; says
                what to do about it.
            ModelError: its config or tokenizer cannot be read.
        """
        found = locate(model, adapter)
        notes = training_notes(found.trained)
        instead = f"  xtune export {_shown(model, adapter)} OUT\n  xtune handover OUT {target}"
        fields = published_fields(found.model)
        if not any_layout and (translated_config(fields) is not None or "auto_map" in fields):
            raise UsageError(
                f"{found.model} is not in transformers' own layout: other programs would run its "
                f"own code or not find its weights. Write it in that layout, then hand that over:\n"
                f"{instead}"
            )
        require_language_model(found, _shown(model, adapter))
        config = load_config(found.model).get_text_config()
        own = found.adapter is not None and (found.adapter / "tokenizer_config.json").is_file()
        tokenizer = load_tokenizer(str(found.adapter) if own else found.model)
        notices = []
        if found.adapter is not None:
            if not any_layout:
                _require_same_vocabulary(tokenizer, notes, config.vocab_size, found.model, instead)
            if not own and tokenizer.chat_template:
                notices.append(
                    "the adapter's folder has no tokenizer, so the chat template is the base's; if "
                    "the adapter was trained with another, copy its tokenizer there and begin anew"
                )
            notices.append(
                "weights of the base are loaded as they were published: a 4- or 8-bit base, as in "
                "QLoRA, is not handed over, and numbers differ a little from those on it"
            )
        if notes.get("template") and not tokenizer.chat_template:
            raise UsageError(
                f"{found.trained} was trained with the template {notes['template']!r}, and its "
                "tokenizer has none: copy the folder once more, chat_template.jinja included"
            )
        if not tokenizer.chat_template:
            notices.append("there is no chat template: it is handed over as a base model")
        if apart := weights_apart(found.trained.parent):
            notices.append(f"not handed over, since trained next to the model: {', '.join(apart)}")
        base = name_for_others(found.model)
        return cls(
            name=_name(model, found.adapter),
            model=found.model,
            shown=_shown(model, adapter),
            base=base,
            adapter=None if found.adapter is None else found.adapter.resolve(),
            tokenizer=tokenizer,
            system=str(notes.get("system") or ""),
            stop_words=_stop_words(tokenizer, notes, config, found.trained, Path(base)),
            context=getattr(config, "max_position_embeddings", None),
            notices=tuple(notices),
        )


def _shown(model: str, adapter: str | None) -> str:
    return model if adapter is None else f"{model} --adapter {adapter}"


def _name(model: str, adapter: Path | None) -> str:
    """'work_dirs/x/checkpoints/latest/adapter' and 'owner/x' alike -> 'x', for a file's name."""
    path = Path(model).expanduser()
    folder = path.resolve() if path.exists() else path
    if adapter is not None and not (folder / "checkpoints").is_dir():
        folder = adapter.resolve()
    parts = folder.parts
    if "checkpoints" in parts[1:]:
        folder = Path(*parts[: parts.index("checkpoints")])
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in folder.name) or "model"


def _require_same_vocabulary(
    tokenizer: PreTrainedTokenizerBase, notes: dict[str, Any], rows: int, base: str, instead: str
) -> None:
    ends = (tokenizer.bos_token, tokenizer.eos_token)
    missing = without_rows(tokenizer.get_vocab(), rows, base, always=ends)
    grown = notes.get("vocabulary") or notes.get("base_vocab_size", rows) != rows
    if grown or missing:
        why = missing[0] if missing else "the run gave the vocabulary new rows"
        raise UsageError(
            f"the base has not all tokens of the adapter: {why}. Merge them, then hand the merged "
            f"model over:\n{instead}"
        )


def _stop_words(
    tokenizer: PreTrainedTokenizerBase,
    notes: dict[str, Any],
    config: Any,
    trained: Path,
    base: Path,
) -> tuple[str, ...]:
    """What ends an answer, as texts, since other programs compare texts."""
    declared: list[int] = []
    for folder in (trained, base):
        file = folder / "generation_config.json"
        if file.is_file():
            ids = json.loads(file.read_text(encoding="utf-8")).get("eos_token_id")
            declared += ids if isinstance(ids, list) else [] if ids is None else [ids]
    if not declared and config.eos_token_id is not None:
        ids = config.eos_token_id
        declared += ids if isinstance(ids, list) else [ids]
    ids, words = end_ids_and_words(declared, tokenizer, notes.get("stop_words") or ())
    tokens = [str(tokenizer.convert_ids_to_tokens(number)) for number in ids if number is not None]
    return tuple(dict.fromkeys([*tokens, *words]))
