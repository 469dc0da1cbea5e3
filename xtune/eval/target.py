"""What a user wants measured: found before anything is loaded, then loaded, once for both stages.

smollm2                        a model as it is
smollm2 --adapter DIR          with an adapter
work_dirs/x                    a run: its newest whole checkpoint, also while it goes on
work_dirs/x/checkpoints/step_000500
CONFIG                         the run of that config
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xtune.checkpoint.folder import find_resumable
from xtune.config import Sheet, list_configs, render, require_valid
from xtune.config.find import xtuners_name
from xtune.config.recipe import recipe_of
from xtune.errors import CheckpointError, UsageError
from xtune.generation.locate import Located, find_adapter, locate, training_notes
from xtune.local_path import not_there
from xtune.models.quantization import is_repacked, quantization_of_bits
from xtune.names import is_path
from xtune.registry import MODELS, build

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from xtune.eval.subject import Subject

__all__ = ["Stage", "Target", "find_target", "sheet_and_folder", "trained_folder"]

Stage = Literal["before", "after"]

_ROWS = 32  # that a pass has, about: many items are asked at once


@dataclass(frozen=True, slots=True)
class Target:
    """A model that may be loaded, before its training and after.

    Attributes:
        name: for people.
        base: the model that was trained, or is as it is; None: nobody knows it.
        trained: the folder of what the training made, an adapter or a whole model; None: nothing.
        run: the run's work_dir; None: it is no run.
        sheet: the run's config; None likewise.
        bits: 4 or 8 quantizes the weights while they are loaded.
        dtype: as `load_model` takes it; None: the run's own, or the fastest.
    """

    name: str
    base: str | None
    trained: Path | None = None
    run: Path | None = None
    sheet: Sheet | None = None
    bits: int | None = None
    dtype: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        """What the run's config measures; of an older one, its `test_cfg`."""
        values = {} if self.sheet is None else self.sheet.values
        found = values.get("evaluations") or []
        return list(found or ([values["test_cfg"]] if values.get("test_cfg") else []))

    @property
    def trained_on(self) -> Mapping[str, Any] | None:
        """The training data of the run, as its sheet names it; None where there is no run."""
        return None if self.sheet is None else self.sheet.values.get("train_dataset")

    @property
    def has_adapter(self) -> bool:
        """Whether the training made an adapter, and not a whole model."""
        return self.trained is not None and (self.trained / "adapter_config.json").is_file()

    def require_before(self) -> None:
        """Refuse where nobody knows the untouched model.

        Raises:
            UsageError: nothing was trained, or not from a model that is known.
        """
        if self.trained is None:
            raise UsageError(
                f"{self.name} is a model as it is: --before-after is for an adapter (--adapter "
                "DIR), a run's folder or a checkpoint"
            )
        if self.base is None:
            raise UsageError(
                f"{self.trained} does not say what model it was trained from; measure both, each "
                "with --out, and compare them: xtune compare BEFORE AFTER"
            )

    def subjects(self, *stages: Stage) -> Iterator[tuple[Stage, Subject]]:
        """Load the model of each stage and yield it; one loading for both where it is an adapter.

        Args:
            *stages: 'before' first, if it is among them.
        """
        from xtune.eval.subject import Subject
        from xtune.models import load_adapter, load_tokenizer
        from xtune.models.onednn_weights import pack_weights

        tokenizer = self._trained_tokenizer()
        common: dict[str, Any] = {
            "stop_words": tuple(self.notes.get("stop_words") or ()),
            "system": self.notes.get("system") or "",
            "has_dialogues": bool(self.notes) and bool(tokenizer and tokenizer.chat_template),
        }
        llm: Any = None
        if "before" in stages or self.has_adapter or self.trained is None:
            llm = self._base()
            pack_weights(llm, rows=_ROWS)
        if "before" in stages or self.trained is None:
            own = self._base_tokenizer()
            if tokenizer is not None:
                # In its own words if it has any: the fairest "before"
                own.chat_template = own.chat_template or tokenizer.chat_template
            stage: Stage = "before" if "before" in stages else "after"
            yield stage, Subject(llm=llm, tokenizer=own, name=str(self.base), **common)
            if stage == "after":
                return
        if "after" not in stages:
            return
        assert self.trained is not None
        if self.has_adapter:
            if is_repacked(llm):  # other bytes, by whose hash no answer would be found again
                del llm
                llm = self._base()
                pack_weights(llm, rows=_ROWS)
            llm = load_adapter(llm, self.trained)
        else:
            del llm  # two whole models may not fit
            llm = self._load(str(self.trained))
            pack_weights(llm, rows=_ROWS)
        llm.eval()
        yield (
            "after",
            Subject(
                llm=llm,
                tokenizer=tokenizer or load_tokenizer(str(self.base)),
                name=f"{self.base} + {self.trained}" if self.has_adapter else str(self.trained),
                **common,
            ),
        )

    def _trained_tokenizer(self) -> PreTrainedTokenizerBase | None:
        from xtune.models import load_tokenizer

        if self.trained is None:
            return None
        has_own = (self.trained / "tokenizer_config.json").is_file()
        return load_tokenizer(str(self.trained)) if has_own else self._base_tokenizer()

    def _base_tokenizer(self) -> PreTrainedTokenizerBase:
        from xtune.models import load_tokenizer

        if self.sheet is None:
            return load_tokenizer(str(self.base))
        return load_tokenizer(**{**self.sheet.values["tokenizer"], "added_tokens": None})

    def _base(self) -> Any:
        if self.sheet is None or self.bits is not None or self.dtype is not None:
            return self._load(str(self.base))
        return build(MODELS, self.sheet.values["model"]["llm"], device=_device())

    def _load(self, name: str) -> Any:
        from xtune.models import load_model

        of_run = "auto" if self.sheet is None else recipe_of(self.sheet.values).dtype
        return load_model(
            name,
            dtype=self.dtype or of_run,
            quantization=quantization_of_bits(self.bits),
            device=_device(),
        )


def find_target(
    given: str,
    *,
    adapter: str | None = None,
    work_dir: Path | None = None,
    bits: int | None = None,
    dtype: str | None = None,
) -> Target:
    """Return what a user means; loads no weights.

    Args:
        given: a model, a run's folder, a checkpoint, or a config.
        adapter: measure this adapter, instead of what the run has trained.
        work_dir: of a config's run.
        bits: 4, 8, or None for weights as they are.
        dtype: 'fp32', 'bf16', 'fp16'; None: the run's, or the fastest.

    Raises:
        UsageError: there is no such thing, or it is a reward model.
        CheckpointError: the run has no whole checkpoint.
    """
    quantization_of_bits(bits)  # refuses what it does not know
    if _is_run(given):
        sheet, run = sheet_and_folder(given, work_dir)
        trained = trained_folder(run) if adapter is None else find_adapter(adapter)
        base = recipe_of(sheet.values).base_model or "a model of the config's own"
        whole = not (trained / "adapter_config.json").is_file()
        located = Located(str(trained)) if whole else Located(base, trained)
        _require_words(located, str(run) if adapter is None else adapter)
        name = run.name if adapter is None else trained.name
        return Target(name, base, trained, run, sheet, bits, dtype, training_notes(trained))
    if work_dir is not None:
        raise UsageError(f"--work-dir is for a config's run, and {given!r} is a model")
    found = locate(given, adapter)
    _require_words(found, given if adapter is None else f"{given} --adapter {adapter}")
    notes = training_notes(found.trained)
    if found.adapter is not None:
        name = f"{found.model} + {found.adapter}"
        return Target(name, found.model, found.adapter, bits=bits, dtype=dtype, notes=notes)
    if notes:  # a whole model that a run has written
        return Target(
            given,
            notes.get("base_model"),
            Path(found.model).expanduser(),
            bits=bits,
            dtype=dtype,
            notes=notes,
        )
    return Target(given, found.model, bits=bits, dtype=dtype)


def sheet_and_folder(given: str, work_dir: Path | None = None) -> tuple[Sheet, Path]:
    """Return the config that is given, or that a run's folder holds, and the run's folder.

    Args:
        given: a config's name or path, or a run's folder.
        work_dir: the run's folder, if it is given apart.

    Raises:
        UsageError: there is no such config, or the folder is no run's.
        ConfigError: the config is wrong.
    """
    folder = Path(given).expanduser()
    if is_path(given) and not folder.exists():
        raise UsageError(f"{not_there(given, 'run')} Give a run's folder, or a config")
    if folder.is_dir():
        if not (folder / "config.py").is_file():
            raise UsageError(
                f"{given!r} has no config.py, so it is no run's folder; give one that "
                "`xtune train` wrote, or a config"
            )
        sheet = render(str(folder / "config.py"))
        work_dir = work_dir or folder
    else:
        sheet = render(given)
        work_dir = work_dir or Path(sheet.values.get("work_dir") or f"work_dirs/{sheet.name}")
    require_valid(sheet, data=False)  # tasks look for their own files
    return sheet, work_dir


def trained_folder(work_dir: Path) -> Path:
    """Return the adapter or model in a run's newest whole checkpoint.

    Args:
        work_dir: of a run, which may be going on.

    Raises:
        CheckpointError: there is none.
    """
    checkpoint = find_resumable(work_dir / "checkpoints")
    if checkpoint is None:
        raise CheckpointError(
            f"there is no checkpoint in {work_dir / 'checkpoints'}: train first (xtune train), "
            "or say where the run is with --work-dir"
        )
    adapter = checkpoint / "adapter"
    return adapter if adapter.is_dir() else checkpoint / "model"


def _require_words(found: Located, named: str) -> None:
    """Refuse a reward model at once; that it is one is said of a hub's when it is loaded."""
    if found.adapter is not None or (found.trained / "config.json").is_file():
        from xtune.generation.reward_scorer import require_language_model  # imports torch

        require_language_model(found, named)


def _is_run(given: str) -> bool:
    return (
        (Path(given).expanduser() / "config.py").is_file()
        or given.endswith(".py")
        or given in list_configs()
        or xtuners_name(given) is not None
    )


def _device() -> str:
    import torch

    from xtune.parallel.world import world_of_environment

    if not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{world_of_environment().local_rank}"
