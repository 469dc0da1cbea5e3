"""The README and the user guide cannot lie: their commands parse, their names and links exist."""

import importlib
import re
import shlex
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest

from xtune.cli.entry import VERBS
from xtune.config import find_config
from xtune.data.formats import all_formats

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
CONFIG_VERBS = {"train", "check", "copy-cfg", "explain", "log-dataset"}


def commands() -> list[tuple[str, str]]:
    """(page, command) of each line that calls one of our verbs, in any fenced block."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```(?:bash|sh|)\n(.*?)```", page.read_text("utf-8"), re.S):
            for line in block.replace("\\\n", " ").splitlines():
                shown = re.match(r"\$? ?(?:[A-Z_]+=\S+ )*((?:xtune|python tools/\w+\.py) .*)", line)
                if shown:
                    found.append((str(page.relative_to(ROOT)), shown[1]))
    return found


def test_the_pages_show_every_verb():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [verb for verb in VERBS if f"xtune {verb}" not in text] == []
    shown = {shlex.split(command)[1] for _, command in commands()}
    assert {"train", "chat", "eval", "copy-cfg", "check-dataset"} <= shown


@pytest.mark.parametrize(("page", "command"), commands())
def test_command_parses(page, command):
    words = shlex.split(command, comments=True)
    if words[0] == "python":
        verb, arguments = Path(words[1]).stem.replace("_", "-"), words[2:]
        assert (ROOT / words[1]).is_file()
    else:
        verb, arguments = words[1], words[2:]
    if verb.startswith("-"):
        return
    assert verb in VERBS, f"{page}: {command}"
    module = importlib.import_module(f"xtune.cli.{verb.replace('-', '_')}")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--debug", action="store_true")
    module.add_arguments(parser)
    args = parser.parse_args(arguments)
    config = getattr(args, "config", getattr(args, "name", ""))
    if verb in CONFIG_VERBS and config and re.fullmatch(r"[a-z0-9_]+", config):
        find_config(config)  # a named config that the page shows exists


def headings(page: Path) -> set[str]:
    """What a link may name of a page, as GitHub makes it of the page's headings."""
    titles = re.findall(r"^#+ (.*)", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target, _, heading in re.findall(r"\]\(([^)#]*)(#?)([^)]*)\)", page.read_text("utf-8")):
        if not target.startswith("http"):
            there = page.parent / target if target else page
            assert there.exists(), f"{page.name} links to {target}"
            assert not heading or heading in headings(there), f"{page.name}: no {heading} there"


def test_every_english_page_has_its_chinese_one():
    english = {path.name for path in (ROOT / "docs/en").glob("*.md")}
    assert english == {path.name for path in (ROOT / "docs/zh").glob("*.md")}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_is_in_the_index(language):
    folder = ROOT / "docs" / language
    linked = re.findall(r"\]\(([\w.]+\.md)\)", (folder / "README.md").read_text("utf-8"))
    pages = {path.name for path in folder.glob("*.md")} - {"README.md"}
    assert set(linked) == pages
    assert len(linked) == len(pages)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_each_of_twenty_frequent_answers_shows_a_command(language):
    text = (ROOT / f"docs/{language}/faq.md").read_text("utf-8")
    answers = re.split(r"^\*\*(\d+)\. ", text, flags=re.M)[1:]
    assert [int(number) for number in answers[::2]] == list(range(1, 21))
    shown = {command for page, command in commands() if page == f"docs/{language}/faq.md"}
    for answer in answers[1::2]:
        assert any(command in answer for command in shown), answer


def test_what_the_pages_quote_is_true():
    done = subprocess.run([sys.executable, ROOT / "docs/tree.py", "--check"], check=False)
    assert done.returncode == 0, "docs/TREE.md or README.md is stale: run python docs/tree.py"


@pytest.mark.parametrize(("page", "optional"), [("en", "(optional)"), ("zh", "（可选）")])
def test_the_table_of_formats_is_what_the_formats_say(page, optional):
    text = (ROOT / f"docs/{page}/data.md").read_text("utf-8")
    text = text.split("\n## ")[1]  # after the files, before the mixtures
    shown = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", text, re.M))
    formats = all_formats().values()
    assert shown == {f.name: f.fields.replace("(optional)", optional) for f in formats}
