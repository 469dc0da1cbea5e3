"""Draw docs/images/demo_dpo.png, what `make demo-dpo` has measured.

python docs/pairs_picture.py [DPO_RUN REWARD_RUN]
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
RUNS = ("work_dirs/smollm2_135m_dpo_lora", "work_dirs/smollm2_135m_reward_lora")
GREY, BLUE, LIGHT, ORANGE, INK = "#b8bec7", "#2f6fb5", "#8fb4dc", "#c2562d", "#333a44"


def read(file: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def shares(rows: Sequence[tuple[str, bool]]) -> dict[str, tuple[int, int]]:
    """How many of each group are right, and how many there are."""
    counted: dict[str, list[bool]] = defaultdict(list)
    for group, right in rows:
        counted[group].append(right)
    return {group: (sum(found), len(found)) for group, found in counted.items()}


def items(run: Path, stage: str, task: str, metric: str) -> dict[str, tuple[int, int]]:
    """A metric of 0 or 1 of a task, before or after."""
    rows = read(run / "evaluation" / stage / "items.jsonl")
    return shares([(r["group"], r["metrics"][metric] == 1) for r in rows if r["task"] == task])


def scored(folder: Path) -> dict[str, tuple[int, int]]:
    """In how many pairs the better answer has the higher score; it stands before the other one."""
    rows = read(folder / "scores.jsonl")
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return shares([(better["source"], better["score"] > worse["score"]) for better, worse in pairs])


def draw(axes: Any, title: str, bars: dict[str, tuple[str, dict[str, tuple[int, int]]]]) -> None:
    """Horizontal bars: a group a line, in it a bar for each of `bars`."""
    groups = list(next(iter(bars.values()))[1])
    height = 0.8 / len(bars)
    for number, (label, (color, found)) in enumerate(bars.items()):
        at = [place + (number + 0.5) * height - 0.4 for place in range(len(groups))]
        values = [100 * found[group][0] / found[group][1] for group in groups]
        axes.barh(at, values, height=height * 0.92, color=color, label=label)
        for place, value, group in zip(at, values, groups, strict=True):
            text = "{}/{}".format(*found[group])
            axes.annotate(
                text,
                (value, place),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
                color=INK,
            )
    axes.set_yticks(range(len(groups)), labels=[group.replace("_", " ") for group in groups])
    axes.invert_yaxis()
    axes.set_xlim(0, 114)
    axes.set_xticks(range(0, 101, 25))
    axes.set_title(title, size=10, color=INK)
    axes.legend(frameon=False, ncols=2, loc="upper left", bbox_to_anchor=(-0.02, -0.1), fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK)


def main() -> int:
    """Read both runs' results and write the picture."""
    dpo, reward = (Path(name) for name in (sys.argv[1:] or RUNS))
    preferred = [items(dpo, stage, "preference", "prefers_better") for stage in ("before", "after")]
    called = [items(dpo, stage, "toolcall", "right") for stage in ("before", "after")]
    figure = Figure(figsize=(11.2, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw(
        left,
        "Held-out pairs whose better answer is ahead, by what is wrong with the other, %",
        {
            "likelier, before": (GREY, preferred[0]),
            "likelier, after DPO": (BLUE, preferred[1]),
            "implicit reward of DPO": (LIGHT, scored(dpo / "score")),
            "reward model": (ORANGE, scored(reward / "score")),
        },
    )
    draw(
        right,
        "Held-out requests answered right, %",
        {"before": (GREY, called[0]), "after DPO": (BLUE, called[1])},
    )
    figure.savefig(ROOT / "docs/images/demo_dpo.png", dpi=150)
    return 0


if __name__ == "__main__":
    sys.exit(main())
