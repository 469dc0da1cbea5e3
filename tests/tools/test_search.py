"""`search`: BM25 over a folder against the formula, and each engine against a local server."""

from __future__ import annotations

import math

import pytest

from tests.tools.web_server import serving
from xtune.errors import UsageError
from xtune.tools.base import ToolError
from xtune.tools.documents import Documents, pdf_text, words
from xtune.tools.search import Search

FJORDS = "# Fjords\nA fjord is a long narrow inlet. The Sognefjord is the longest fjord of Norway."
BREAD = "# Bread\nBread is baked from flour, water and salt."
CHINESE = "挪威的峡湾又长又深。面包由面粉制成。"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "geography").mkdir()
    (tmp_path / "geography/fjords.md").write_text(FJORDS)
    (tmp_path / "bread.txt").write_text(BREAD)
    (tmp_path / "chinese.txt").write_text(CHINESE)
    (tmp_path / "picture.png").write_bytes(b"fjord")
    return tmp_path


def write_pdf(path, pages):
    """A PDF as small as the format allows: one line of text a page."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    objects.append(font)
    kids = []
    for text in pages:
        stream = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET".encode()
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>".encode()
    content, offsets = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, start=1):
        offsets.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    count = len(objects) + 1
    content += b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, table)
    content += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (
        count,
        content.rindex(b"xref\n0"),
    )
    path.write_bytes(content)


def test_it_finds_what_fits_and_says_where_it_stands(folder):
    search = Search(folder=str(folder))
    assert search("longest fjords?") == f"[1] geography/fjords.md, line 1\n{FJORDS}"
    assert search("baked bread").startswith("[1] bread.txt, line 1\n# Bread")
    assert search("峡湾多深") == f"[1] chinese.txt, line 1\n{CHINESE}"
    assert search("volcano") == "nothing found for 'volcano'"
    with pytest.raises(ToolError, match="empty"):
        search("  ")


def test_the_order_is_that_of_the_formula(tmp_path):
    texts = {"a.txt": "x y", "b.txt": "x x x y y y z z z", "c.txt": "x", "d.txt": "w w"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    lengths = {name: len(text.split()) for name, text in texts.items()}
    mean = sum(lengths.values()) / 4

    def score(name, query):
        total = 0.0
        for word in query.split():
            often = texts[name].split().count(word)
            holding = sum(word in text.split() for text in texts.values())
            rarity = math.log(1 + (4 - holding + 0.5) / (holding + 0.5))
            scale = 1.5 * (1 - 0.75 + 0.75 * lengths[name] / mean)
            total += rarity * often * 2.5 / (often + scale)
        return total

    documents = Documents(tmp_path)
    for query in ("x", "y", "x y", "z x", "w"):
        expected = sorted((n for n in texts if score(n, query)), key=lambda n: -score(n, query))
        found = [passage.where.split(",")[0] for passage in documents.search(query, 9)]
        assert found == expected, query


def test_a_long_file_becomes_passages_with_their_lines(tmp_path):
    lines = [f"paragraph {n} about the number {n}\n" for n in range(400)]
    (tmp_path / "long.txt").write_text("\n".join(lines))
    (tmp_path / "one_line.txt").write_text("word " * 5000)
    documents = Documents(tmp_path)
    (best, *_) = documents.search("number 333", 1)
    assert "paragraph 333" in best.text
    assert len(best.text) < 1700
    first = int(best.where.split("line ")[1])
    assert "\n".join(lines).splitlines()[first - 1] == best.text.splitlines()[0]


def test_changed_files_are_read_anew_and_links_that_lead_out_are_not(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.txt").write_text("volcano secret")
    (folder / "link.txt").symlink_to(outside / "secret.txt")
    (folder / "linked").symlink_to(outside)
    search = Search(folder=str(folder))
    assert search("volcano").startswith("nothing found")
    (folder / "new.txt").write_text("a volcano")
    assert search("volcano") == "[1] new.txt, line 1\na volcano"


def test_pdf_pages_are_searched_and_a_damaged_file_is_not_the_end(folder):
    pytest.importorskip("pypdf")
    write_pdf(folder / "paper.pdf", ["On the age of glaciers", "On volcanoes and glaciers"])
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    search = Search(folder=str(folder))
    assert search("volcanoes") == "[1] paper.pdf, page 2\nOn volcanoes and glaciers"
    assert set(search._documents.unread) == {"broken.pdf"}
    with pytest.raises(ToolError, match="cannot be read"):
        list(pdf_text(b"nothing"))


def test_words_of_several_scripts():
    assert words("Ærlige Boss's 3.5 GLASSES") == ["ærlige", "boss", "s", "3", "5", "glasse"]
    assert words("Москвы 東京タワー a") == ["москвы", "東京", "京タ", "タワ", "ワー", "a"]


HITS = [("Fjord", "https://example.org/fjord", "A fjord is an inlet.")]
SHOWN = "[1] Fjord (https://example.org/fjord)\nA fjord is an inlet."
DUCK = (
    '<div><a rel="nofollow" class="result__a" '
    'href="//duckduckgo.com/l/?uddg=https%3A%2F%2Fexample.org%2Ffjord&amp;rut=1"><b>Fjord</b></a>'
    '<a class="result__snippet" href="x">A <b>fjord</b> is an inlet.</a></div>'
)


@pytest.mark.parametrize(
    ("engine", "answer", "check"),
    [
        (
            "serper",
            {"organic": [dict(zip(("title", "link", "snippet"), HITS[0], strict=True))]},
            lambda a: (
                (a.method, a.body, a.headers["x-api-key"])
                == ("POST", {"q": "norwegian fjord", "num": 4}, "KEY")
            ),
        ),
        (
            "bing",
            {"webPages": {"value": [dict(zip(("name", "url", "snippet"), HITS[0], strict=True))]}},
            lambda a: (
                a.query == {"q": ["norwegian fjord"], "count": ["4"]}
                and a.headers["ocp-apim-subscription-key"] == "KEY"
            ),
        ),
        (
            "searxng",
            {"results": [dict(zip(("title", "url", "content"), HITS[0], strict=True))]},
            lambda a: (
                (a.path, a.query) == ("/search", {"q": ["norwegian fjord"], "format": ["json"]})
            ),
        ),
        ("duckduckgo", DUCK, lambda a: a.query == {"q": ["norwegian fjord"]}),
    ],
)
def test_each_engine_is_asked_in_its_own_way_and_answers_in_ours(engine, answer, check):
    with serving(lambda asked: (200, {}, answer)) as (url, asked):
        key = "KEY" if engine in ("serper", "bing") else None
        assert Search(engine=engine, url=url, key=key)("norwegian  fjord") == SHOWN
    assert check(asked[0]), asked[0]


@pytest.mark.parametrize("engine", ["serper", "bing", "searxng", "duckduckgo"])
@pytest.mark.parametrize("answer", [{}, {"organic": 3, "webPages": [], "results": {"a": 1}}])
def test_an_answer_without_hits_is_no_crash(engine, answer):
    with serving(lambda asked: (200, {}, answer)) as (url, _):
        assert "nothing found" in Search(engine=engine, url=url, key="KEY")("x")


def test_a_search_without_its_means_is_refused_with_the_reason(monkeypatch, tmp_path):
    monkeypatch.delenv("SERPER_API_KEY", raising=False)
    for error, said, options in [
        (UsageError, r"--tool-options search\.folder=DIR", {}),
        (UsageError, "needs either a folder", {"folder": ".", "engine": "bing"}),
        (
            UsageError,
            "unknown search engine 'serpper'; did you mean 'serper'",
            {"engine": "serpper"},
        ),
        (UsageError, "needs url=", {"engine": "searxng"}),
        (ToolError, "set SERPER_API_KEY", {"engine": "serper"}),
        (ToolError, "no folder", {"folder": str(tmp_path / "none")}),
    ]:
        with pytest.raises(error, match=said):
            Search(**options)


def test_the_folder_of_the_demo_is_found_within_the_package_and_nothing_else():
    found = Search(folder="xtune:notes", count=1)("Thiatheth height")
    assert "Thiatheth" in found
    # Adapters that were saved before the folder moved note its old address
    assert Search(folder="xtune:chat/demo/notes", count=1)("Thiatheth height") == found
    with pytest.raises(UsageError, match="brings no folder '../tests'.*'xtune:notes'"):
        Search(folder="xtune:../tests")
