"""The README stays short and true; the pages that it leans on say the same in both languages."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
LANGUAGES = ("en", "zh")
LINES = 220  # a page that one reads; what does not fit belongs into docs/


def page(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def section(text: str, title: str) -> str:
    """What stands under a heading, up to the next of its rank."""
    found = re.search(rf"^## {re.escape(title)}.*?\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert found, f"no section {title!r}"
    return found[1]


def tables(text: str) -> list[list[list[str]]]:
    """The tables of a text, each as its rows of cells, heads first and the rule left out."""
    found = re.findall(r"(?:^\|.*\|\n)+", text, re.M)
    rows = [[row[1:-1].split("|") for row in table.splitlines()] for table in found]
    return [
        [[cell.strip() for cell in row] for row in table if not set("".join(row)) <= set("-: ")]
        for table in rows
    ]


def code(text: str) -> list[str]:
    """The lines of a text's shell blocks."""
    blocks = re.findall(r"```bash\n(.*?)```", text, re.S)
    return [line for block in blocks for line in block.splitlines()]


def test_it_is_short():
    assert len(README.splitlines()) <= LINES


def test_the_first_two_commands():
    assert code(README)[:2] == ["make demo", "make test"]
    assert {"demo:", "test:"} <= set(re.findall(r"^\w+:", page("Makefile"), re.M))


def test_the_config_is_the_file():
    leaf = page("configs/smollm2/smollm2_135m_lora_toolcall.py")
    assert f"```python\n{leaf}```\n" in section(README, "A config is a sentence")


def test_what_it_trains_is_ten_rows():
    (head, *rows), *_ = tables(section(README, "What it trains"))
    assert head == ["", "run", "tested", "not run"]
    assert len(rows) == 10
    assert {len(row) for row in rows} == {4}


def test_three_commands_for_data_that_are_there():
    commands = code(section(README, "Your own data, in three commands"))
    assert len(commands) == 3
    words = [word.partition("=")[2] or word for line in commands for word in shlex.split(line)]
    paths = [word for word in words if "/" in word and not word.startswith("work_dirs/")]
    assert len(paths) == 6
    assert all((ROOT / path).is_file() for path in paths)


def test_each_promise_has_its_test():
    _, *rows = tables(section(README, "Five promises, each with its test"))[0]
    links = [re.fullmatch(r"\[`(\w+)`\]\((tests/\S+\.py)\)", test) for _, test in rows]
    assert len(links) == 5
    for link in links:
        assert link, "a promise links the test by its name: [`test_…`](tests/…)"
        assert f"def {link[1]}(" in page(link[2])


# What is quoted of a measurement, held against its page
NEW = page("benchmarks/results/2026-11-27_cpu.md")
AMX = page("benchmarks/results/2026-11-26_cpu_amx.md")
METHODS = ("lora", "qlora", "full")
CONTENDERS = (
    "xtune",
    "TRL packed",
    "TRL padded",
    "LLaMA-Factory packed",
    "LLaMA-Factory padded",
)
EIGHT_PACKS = "LoRA, eight packs of the demo's rows"


def speeds(text: str, title: str) -> dict[str, str]:
    """Each contender's tokens a second and the gigabytes, as the tables quote them."""
    _, *rows = tables(section(text, title))[0]
    return {row[0]: f"{int(float(row[2]) + 0.5)} ({float(row[5]) / 1000:.1f})" for row in rows}


def times(text: str, title: str, contender: str = "TRL packed") -> tuple[str, str]:
    """How many times as fast as a contender, and in what share of its memory."""
    found = re.search(
        rf"\*\*([\d.]+)\*\* times as fast as {contender}, with ([\d.]+) of its memory",
        section(text, title),
    )
    assert found
    return f"{float(found[1]):.1f}", found[2]


def columns(text: str) -> list[dict[str, str]]:
    """By method what each contender reached."""
    found = [speeds(text, f"Fine-tuning: {method}\n") for method in METHODS]
    if text is AMX:
        found[0] |= speeds(text, EIGHT_PACKS)
    return found


def test_the_readmes_table_of_speed_is_the_page_of_results():
    (_, *rows), *_ = tables(section(README, "Speed"))
    wanted = [[name, *(column.get(name, "") for column in columns(NEW))] for name in CONTENDERS]
    assert rows == wanted
    assert "2026-11-27" in section(README, "Speed")


def test_the_readmes_times_are_those_of_the_page():
    said = " ".join(section(README, "Speed").split())
    lora, qlora, full = (times(NEW, f"Fine-tuning: {method}\n")[0] for method in METHODS)
    theirs, _ = times(NEW, "Fine-tuning: lora\n", "LLaMA-Factory padded")
    assert (
        f"That is {lora} times TRL's best with LoRA, {qlora} with QLoRA, {full} with all weights, "
        f"and with LoRA {theirs} times LLaMA-Factory's best." in said
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_guides_table_of_speed_is_that_of_both_pages(language):
    (_, *rows), *_ = tables(page(f"docs/{language}/benchmarks.md"))
    pairs = [column for both in zip(columns(NEW), columns(AMX), strict=True) for column in both]
    assert rows == [[name, *(column.get(name, "") for column in pairs)] for name in CONTENDERS]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_guides_other_figures_are_those_of_the_pages(language):
    said = page(f"docs/{language}/benchmarks.md")
    quoted = set(re.findall(r"\d[\d,]*(?:\.\d+)?", said))
    lora, code_alpaca = times(NEW, "Fine-tuning: lora\n"), times(NEW, "Fine-tuning: lora, on Code")
    figures = {*lora, *code_alpaca}
    figures |= {times(NEW, f"Fine-tuning: {method}\n")[0] for method in METHODS}
    figures |= {times(AMX, EIGHT_PACKS)[0], times(AMX, "LoRA, five packs")[0]}
    figures |= {times(AMX, f"Fine-tuning: {method}\n")[0] for method in METHODS[1:]}
    grown = re.search(r"4,096 takes ([\d.]+) times", NEW)
    figures.add(f"{float(grown[1]):.1f}" if grown else "")
    for text in (NEW, AMX):
        _, *prepared = tables(section(text, "Data preparation"))[0]
        figures |= {row[1] for row in prepared}
        steps = tables(section(text, "Start-up"))[0]
        figures.add(f"{float(steps[-1][1].strip('*')):.1f}")
        _, ours, plain, _ = tables(section(text, "Chat"))[0]
        figures |= {f"{float(row[3]):.0f}" for row in (ours, plain)}
    _, *bounds = tables(section(NEW, "A step and its products alone"))[0]
    figures |= {f"{float(row[-1].split()[0]):.1f}" for row in bounds}
    assert figures - quoted == set()


def test_the_demos_figures_stand_in_the_account_of_all_measurements():
    quick = section(README, "Quick start")
    spent = set(re.findall(r"\d+ min \d+ s", quick))
    exact = set(re.findall(r"(\d+) of 100(?: exact|\s+\()", quick)) - {"0"}
    assert spent
    assert exact
    for language in LANGUAGES:
        measured = tables(page(f"docs/{language}/status.md"))[-1]
        cells = [cell for row in measured for cell in row]
        assert spent <= set(cells)
        assert exact <= {cell.rpartition("→ ")[2] for cell in cells}


# What both languages say alike


def test_the_status_names_the_same_features_with_the_same_tests():
    english, chinese = (tables(page(f"docs/{language}/status.md")) for language in LANGUAGES)
    assert len(english) == len(chinese)
    rows = 0
    for ours, theirs in zip(english[:-1], chinese[:-1], strict=True):
        for one, other in zip(ours[1:], theirs[1:], strict=True):
            rows += 1
            assert one[0] == other[0].split("<br>")[0]
            assert one[-1] == other[-1], f"{one[0]}: other tests"
            assert [bool(cell) for cell in one] == [bool(cell) for cell in other], one[0]
            assert any(one[1:4]), f"{one[0]}: neither run nor tested, and not said to be not run"
            assert bool(one[2]) >= bool(one[-1]), f"{one[0]}: tests that test nothing"
    assert rows >= 30
    assert [row[:1] + row[2:] for row in english[-1][1:]] == [
        row[:1] + row[2:] for row in chinese[-1][1:]
    ]


def test_the_agents_figures_are_the_same_in_both_languages():
    english, chinese = (
        next(t for t in tables(page(f"docs/{language}/agents.md")) if len(t[0]) == 5)
        for language in LANGUAGES
    )
    assert [row[1:] for row in english[1:]] == [row[1:] for row in chinese[1:]]
    right = sum(int(row[3].split()[0]) for row in english[1:])
    asked = sum(int(row[1]) for row in english[1:])
    before = sum(int(row[2]) for row in english[1:])
    said = " ".join(section(README, "Agents").split())
    assert f"{right} of {asked} held-out requests were right" in said
    assert f"{before} before" in said
