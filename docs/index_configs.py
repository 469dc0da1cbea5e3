"""Write configs/INDEX.md, a row for each named config: python docs/index_configs.py [--check].

Everything in a row is the config's own: its sheet, and its docstring's Hardware and Verified. The
tests hold the estimate in Hardware equal to what `xtune estimate` says; with --estimate all are
made anew and written into the docstrings first, which takes minutes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)
from xtune.config import list_configs, render  # noqa: E402
from xtune.config.notes import estimated_gib, notes  # noqa: E402
from xtune.models.cards import fits, smallest_card  # noqa: E402
from xtune.models.precision import choose_precision  # noqa: E402
from xtune.planning.requirement import DeviceMemory, Requirement, need_of  # noqa: E402

INDEX = ROOT / "configs/INDEX.md"
HEAD = """# The named configs

{count} configs. `xtune train NAME` runs one, `xtune copy-cfg NAME .` copies one to edit, and
`xtune tiny-model NAME OUT` writes a tiny random model to try one with.

*Memory* is the estimate of `xtune estimate NAME` for one device, in bf16, to about a tenth; the
*smallest card* has that and a ninth more. *Verified on* says what was really run to
its end, where, when and at which commit. All others build only: they render and check, and take two
optimizer steps in the tests, on a tiny random model of their family and rows of their data's form.
"""
COLUMNS = ("name", "model", "method", "data", "memory", "smallest card", "verified on")
CARDS = (8, 12, 16, 24, 40, 80)  # GB; people ask for these
BY_CARD = """
## What fits my GPU?

The rule is that of `xtune estimate`: a tenth of the card is left free. A model with a method is one
line, the least memory first, with the shortest of the names that need as much; `xtune list-cfg
--gpu-memory 8GB` lists all names that fit. What fits none needs several GPUs, or another method.
"""
METHODS = {"full": "full", "lora": "LoRA", "qlora": "QLoRA"}


def row(name: str, path: Path) -> tuple[str, ...]:
    """The cells of a config's row."""
    values = render(name).values
    said = notes(path)
    estimate = estimated_gib(said["Hardware"])
    return (
        f"`{name}`",
        values.pretrained_model_name_or_path,
        _method(name),
        " + ".join(_names(values.data_path)),
        *(_memory(estimate) if estimate else ("", said["Hardware"].partition(";")[0])),
        said.get("Verified", "builds only"),
    )


def _method(name: str) -> str:
    return next(METHODS[part] for part in name.split("_") if part in METHODS)


def _memory(gib: float) -> tuple[str, str]:
    card = smallest_card(gib)
    return f"{gib:g} GiB", f"{card} GB" if card else "more than one"


def _names(data_path: Any) -> Iterator[str]:
    """What the data are called; all sources of a mixture."""
    if isinstance(data_path, list):
        for source in data_path:
            yield from _names(source)
    elif isinstance(data_path, str):
        yield data_path
    else:
        yield from _names(data_path.get("data_path", data_path.get("path", data_path.get("type"))))


def by_card(names: list[str]) -> Iterator[tuple[str, ...]]:
    """The cells of a line for each model and method, the least memory first."""
    alike: dict[tuple[float, str, str], list[str]] = {}
    for name in names:
        gib = estimated_gib(notes(list_configs()[name])["Hardware"])
        if gib is not None:
            key = (gib, render(name).values.pretrained_model_name_or_path, _method(name))
            alike.setdefault(key, []).append(name)
    for (gib, model, method), found in sorted(alike.items()):
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        marks = ["yes" if fits(gib, card) else "" for card in CARDS]
        shortest = min(found, key=lambda name: (len(name), name))
        yield (model, method, f"{gib:g} GiB", *marks, f"`{shortest}`{more}")


def text() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    configs = sorted(list_configs().items(), key=lambda item: (item[1].parent.name, item[0]))
    yield HEAD.format(count=len(configs)).rstrip()
    yield BY_CARD.rstrip()
    yield ""
    yield f"| {' | '.join(['model', 'method', 'memory', *(f'{c} GB' for c in CARDS), 'config'])} |"
    yield f"|{'---|' * (4 + len(CARDS))}"
    for cells in by_card([name for name, _ in configs]):
        yield f"| {' | '.join(cells)} |"
    folder = ""
    for name, path in configs:
        if path.parent.name != folder:
            folder = path.parent.name
            yield from ("", f"## {folder}", "")
            yield f"| {' | '.join(COLUMNS)} |"
            yield f"|{'---|' * len(COLUMNS)}"
        yield f"| {' | '.join(row(name, path))} |"


def write_estimates() -> None:
    """Bring the estimates in the docstrings up to date; leaves that are alike share one."""
    made: dict[str, float] = {}
    for name, path in list_configs().items():
        text = path.read_text(encoding="utf-8")
        if "GiB estimated" not in text:
            continue
        values = render(name).values
        key = memory_key(values)
        if key not in made:
            made[key] = need_on_one_gpu(values).gib
        gib = f"{made[key]:.0f}" if made[key] >= 100 else f"{made[key]:.1f}"
        card = smallest_card(float(gib))
        where = f"one GPU of {card} GB" if card else "several GPUs of 80 GB"
        said = f"{where}: {gib} GiB estimated in bf16{'' if card else ' for one'}"
        pattern = r"(?:one GPU|several GPUs) of \d+ GB: [\d.]+ GiB estimated in bf16(?: for one)?"
        path.write_text(re.sub(pattern, said, text), encoding="utf-8")


def need_on_one_gpu(values: Any) -> Requirement:
    """What a config's sheet needs on one GPU, in bf16: what `xtune estimate` says."""
    return need_of(values, choose_precision("cuda", "bf16"), DeviceMemory("cuda", None))


def memory_key(values: Any) -> str:
    """The same for sheets that need the same memory: those that differ in their data, say."""
    accumulates = values.train_cfg.accumulative_counts > 1
    shape = (values.max_length, values.batch_size, values.optimizer.type, accumulates)
    return repr((values.model, *shape))


def main() -> int:
    """Write the page, or with --check only compare."""
    if "--estimate" in sys.argv:
        write_estimates()
    wanted = text()
    if "--check" in sys.argv:
        return int(not INDEX.exists() or INDEX.read_text(encoding="utf-8") != wanted)
    INDEX.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
