"""Rows of ten benchmarks in words of our own, as they are published and as the hub has them.

They are no questions of the benchmarks: what is compared is how two programs read, ask and score.
So they have what trips readers: commas and quotes, blanks at ends, numbers for labels, three and
five options, Chinese, WikiHow's marks, questions with a gap.
"""

from __future__ import annotations

import ast
import csv
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["write_hub_rows", "write_published"]

Rows = list[dict[str, Any]]
_THINGS = (
    *("river", "mountain", "lantern", "engine", "garden", "violin"),
    *("harbour", "window", "kettle", "planet", "forest", "coin"),
)
_WHAT = ("old", "very bright", "made of glass", "in the north", "near the sea", "rarely seen")
_DONE = ("carries water", "shines at night", "falls slowly", "is painted red", "turns twice a day")
_ZH = ("河流", "高山", "灯笼", "发动机", "花园", "小提琴", "港口", "窗户", "水壶", "行星")
_ZH_WHAT = ("很古老", "十分明亮", "由玻璃制成", "位于北方", "靠近大海", "比铁更重")
_LETTERS = "ABCDE"


def _draws(seed: str) -> random.Random:
    return random.Random(seed)


def _clause(draw: random.Random) -> str:
    return f"the {draw.choice(_THINGS)} {draw.choice(_DONE)}"


def _exam(seed: str, count: int, chinese: bool = False) -> Rows:
    """Questions with four options; one has commas and quotes, one a blank at its end."""
    draw = _draws(seed)
    rows = []
    for number in range(count):
        if chinese:
            question = f"下列关于{draw.choice(_ZH)}的说法，正确的是____。"
            options = [f"它{what}" for what in draw.sample(_ZH_WHAT, 4)]
        else:
            question = (
                f'Which of these, as "The {draw.choice(_THINGS)}" says, is {draw.choice(_WHAT)}?'
            )
            options = [f"the {thing}" for thing in draw.sample(_THINGS, 4)]
        ends = ["", "  ", "\t"][number % 3]
        rows.append({"question": question + ends, "options": options, "gold": draw.randrange(4)})
    return rows


def _mmlu(split: str) -> Rows:
    return [
        {
            "question": r["question"],
            "subject": "astronomy",
            "choices": r["options"],
            "answer": r["gold"],
        }
        for r in _exam(f"mmlu {split}", 5 if split == "dev" else 8)
    ]


def _ceval(split: str) -> Rows:
    rows = _exam(f"ceval {split}", 5 if split == "dev" else 8, chinese=True)
    return [
        {
            "id": number,
            "question": row["question"],
            **dict(zip("ABCD", row["options"], strict=True)),
            "answer": _LETTERS[row["gold"]],
            "explanation": "因为如此。" if split == "dev" else "",
        }
        for number, row in enumerate(rows)
    ]


def _cmmlu(split: str) -> Rows:
    rows = _exam(f"cmmlu {split}", 5 if split == "dev" else 8, chinese=True)
    return [
        {
            "Question": row["question"],
            **dict(zip("ABCD", row["options"], strict=True)),
            "Answer": _LETTERS[row["gold"]],
        }
        for row in rows
    ]


def _arc(split: str) -> Rows:
    draw = _draws(f"arc {split}")
    rows = []
    for number in range(8):
        size = (4, 3, 5)[number % 3]
        labels = list("12345" if number % 2 else _LETTERS)[:size]
        texts = [f"{_clause(draw)}" for _ in range(size)]
        rows.append(
            {
                "id": f"ROW_{number}",
                "question": f"A pupil sees that {_clause(draw)}. What follows?",
                "choices": {"text": texts, "label": labels},
                "answerKey": draw.choice(labels),
            }
        )
    return rows


def _hellaswag(split: str) -> Rows:
    draw = _draws(f"hellaswag {split}")
    marks = ["", "[header] ", "[substeps] "]
    return [
        {
            "ind": number,
            "activity_label": f"Cleaning a {draw.choice(_THINGS)}",
            "ctx_a": f"{marks[number % 3]}A man looks at it [title] {_clause(draw)}.",
            "ctx_b": f"then {_clause(draw)} and",
            "ctx": "",
            "endings": [f"{_clause(draw)} [step] slowly{'.' * (i + 1)}" for i in range(4)],
            "source_id": f"wikihow~{number}",
            "split": split,
            "split_type": "indomain",
            "label": str(draw.randrange(4)),
        }
        for number in range(8)
    ]


def _piqa(split: str) -> Rows:
    draw = _draws(f"piqa {split}")
    return [
        {
            "goal": f"How do you see that {_clause(draw)}?",
            "sol1": f"You wait until {_clause(draw)}.",
            "sol2": f"You look where {_clause(draw)} and {_clause(draw)}.",
            "label": draw.randrange(2),
        }
        for _ in range(8)
    ]


def _winogrande(split: str) -> Rows:
    draw = _draws(f"winogrande {split}")
    rows = []
    for _ in range(8):
        first, second = draw.sample(_THINGS, 2)
        rows.append(
            {
                "sentence": f"The {first} beat the {second} because the _ {draw.choice(_DONE)}.",
                "option1": first,
                "option2": second,
                "answer": draw.choice("12"),
            }
        )
    return rows


def _boolq(split: str) -> Rows:
    draw = _draws(f"boolq {split}")
    rows = []
    for number in range(8):
        title = f"{draw.choice(_THINGS).capitalize()} ({draw.choice(_WHAT)})"
        rows.append(
            {
                "question": f"is it true that {_clause(draw)}",
                "passage": f"{title} -- Some say {_clause(draw)}; “others” that {_clause(draw)}.",
                "idx": number,
                "label": draw.randrange(2),
            }
        )
    return rows


def _race(split: str) -> Rows:
    draw = _draws(f"race {split}")
    rows = []
    for number in range(6):
        problems = [
            {
                "question": "The story says that  _  ." if place % 2 else "What do we learn of it?",
                "answer": draw.choice("ABCD"),
                "options": [_clause(draw) for _ in range(4)],
            }
            for place in range(1 + number % 4)
        ]
        article = " ".join(f"{_clause(draw).capitalize()}." for _ in range(8))
        rows.append({"article": article, "problems": str(problems)})
    return rows


def _truthfulqa(split: str) -> Rows:
    draw = _draws(f"truthfulqa {split}")
    rows = []
    for number in range(8):
        best, *others = dict.fromkeys(f"It seems that {_clause(draw)}." for _ in range(30))
        true, false = others[: number % 3], others[3 : 6 + number % 2]
        rows.append(
            {
                "question": f"Why is it that {_clause(draw)}?",
                "mc1_targets": {
                    "choices": [best, *false],
                    "labels": [1] + [0] * len(false),
                },
                "mc2_targets": {
                    "choices": [best, *true, *false],
                    "labels": [1] * (1 + len(true)) + [0] * len(false),
                },
            }
        )
    return rows


def _texts(split: str) -> Rows:
    draw = _draws(f"texts {split}")
    english = " ".join(f"{_clause(draw).capitalize()}." for _ in range(120))
    chinese = "".join(f"{draw.choice(_ZH)}{draw.choice(_ZH_WHAT)}。" for _ in range(60))
    return [{"text": english}, {"text": f"{chinese}\n\n{english[:80]}"}]


_HUB = {
    "mmlu": (_mmlu, ("test", "dev")),
    "ceval": (_ceval, ("val", "dev")),
    "cmmlu": (_cmmlu, ("test", "dev")),
    "arc_easy": (_arc, ("test", "validation", "train")),
    "hellaswag": (_hellaswag, ("validation", "train")),
    "piqa": (_piqa, ("validation", "train")),
    "winogrande": (_winogrande, ("validation", "train")),
    "boolq": (_boolq, ("validation", "train")),
    "race": (_race, ("test",)),
    "truthfulqa": (_truthfulqa, ("validation",)),
    "perplexity": (_texts, ("test",)),
}


def write_hub_rows(folder: Path) -> dict[str, dict[str, str]]:
    """Write the rows as the hub has them, a file of JSON lines a task and split.

    Args:
        folder: made if it is missing.

    Returns:
        The files by task and split.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, dict[str, str]] = {}
    for task, (make, splits) in _HUB.items():
        for split in splits:
            path = folder / f"{task}_{split}.jsonl"
            path.write_text(_lines(make(split)), encoding="utf-8")
            files.setdefault(task, {})[split] = str(path)
    return files


def write_published(folder: Path) -> None:
    """Write the same rows as the benchmarks' files are published.

    Args:
        folder: of benchmarks, a folder each.
    """
    for split in ("test", "dev"):
        rows = [[r["question"], *r["choices"], _LETTERS[r["answer"]]] for r in _mmlu(split)]
        _csv(folder / f"mmlu/data/{split}/astronomy_{split}.csv", rows)
        _table(
            folder / f"cmmlu/{split}/agronomy.csv",
            [{"": n} | r for n, r in enumerate(_cmmlu(split))],
        )
    _table(folder / "ceval-exam/dev/accountant_dev.csv", _ceval("dev"))
    val = [{key: value for key, value in r.items() if key != "explanation"} for r in _ceval("val")]
    _table(folder / "ceval-exam/val/accountant_val.csv", val)
    for split, name in (("test", "Test"), ("train", "Train")):
        rows_of = [_nested(row) for row in _arc(split)]
        _text(folder / f"ARC-V1-Feb2018-2/ARC-Easy/ARC-Easy-{name}.jsonl", _lines(rows_of))
    for split, name in (("validation", "val"), ("train", "train")):
        swag = [row | {"label": int(row["label"])} for row in _hellaswag(split)]
        _text(folder / f"hellaswag/hellaswag_{name}.jsonl", _lines(swag))
    piqa = _piqa("validation")
    _text(
        folder / "piqa/valid.jsonl",
        _lines([{k: r[k] for k in ("goal", "sol1", "sol2")} for r in piqa]),
    )
    _text(folder / "piqa/valid-labels.lst", "".join(f"{row['label']}\n" for row in piqa))
    _text(folder / "winogrande_1.1/dev.jsonl", _lines(_winogrande("validation")))
    _text(folder / "winogrande_1.1/train_xl.jsonl", _lines(_winogrande("train")))
    _text(folder / "boolq/dev.jsonl", _lines([_titled(row) for row in _boolq("validation")]))
    for number, row in enumerate(_race("test")):
        _text(folder / f"RACE/test/high/{number}.txt", json.dumps(_article(row, number)))
    targets = ("mc1_targets", "mc2_targets")
    truthful = [
        {"question": row["question"]}
        | {t: dict(zip(row[t]["choices"], row[t]["labels"], strict=True)) for t in targets}
        for row in _truthfulqa("validation")
    ]
    _text(folder / "truthfulqa/mc_task.json", json.dumps(truthful))
    _text(folder / "perplexity/texts.jsonl", _lines(_texts("test")))


def _nested(row: Mapping[str, Any]) -> dict[str, Any]:
    choices = row["choices"]
    pairs = zip(choices["text"], choices["label"], strict=True)
    listed = [{"text": text, "label": label} for text, label in pairs]
    stem = {"stem": row["question"], "choices": listed}
    return {"id": row["id"], "question": stem, "answerKey": row["answerKey"]}


def _titled(row: Mapping[str, Any]) -> dict[str, Any]:
    title, _, passage = row["passage"].partition(" -- ")
    return {
        "question": row["question"],
        "title": title,
        "answer": bool(row["label"]),
        "passage": passage,
    }


def _article(row: Mapping[str, Any], number: int) -> dict[str, Any]:
    problems = ast.literal_eval(row["problems"])
    return {
        "id": f"high{number}.txt",
        "article": row["article"],
        "questions": [one["question"] for one in problems],
        "options": [one["options"] for one in problems],
        "answers": [one["answer"] for one in problems],
    }


def _lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _csv(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def _table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    _csv(path, [list(rows[0]), *(list(row.values()) for row in rows)])
