"""The page shows what there is, escaped; the picture is a picture; the numbers are JSON."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.eval.results import report, row
from xtune.eval.loss_curve import LossCurve
from xtune.eval.page import render_page
from xtune.eval.report import write_report

PNG = b"\x89PNG"


class Page(HTMLParser):
    """What a browser would see: the tags, and the text outside of <style>."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self._hidden = [], "", False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._hidden = tag == "style"

    def handle_endtag(self, tag):
        self._hidden = False

    def handle_data(self, data):
        if not self._hidden:
            self.text += data


def page_of(**changes):
    both = [row(**changes)]
    return Page(render_page(report(both, both), PNG))


def test_a_script_in_an_answer_is_text():
    nasty = '<script>alert("x")</script><img src=x onerror=y> &amp; "quoted"'
    page = page_of(got=nasty, request=nasty, expected=nasty, kind=nasty)
    assert "script" not in page.tags
    assert page.tags.count("img") == 1
    assert page.text.count(nasty) >= 5


@settings(max_examples=100, deadline=None)
@given(got=st.text(), request=st.text(), kind=st.text())
def test_no_text_changes_the_pages_structure(got, request, kind):
    page = page_of(got=got, request=request, kind=kind)
    if not got.strip():  # is shown as "(nothing)", in a tag of its own
        assert page.tags == page_of(got="").tags
    else:
        assert page.tags == page_of().tags


def test_names_are_escaped_too():
    one = [row()]
    html = render_page(report(one, one, model="<b>m", trained="<b>t", title="<b>x"), PNG)
    assert "<b>" not in html


def test_wrong_ones_come_first_each_with_what_it_was_before():
    before = [row(request="first"), row(request="second"), row(request="third")]
    after = [row(request="first", right=True), row(request="second"), row(request="third")]
    text = Page(render_page(report(before, after), PNG)).text
    assert "Wrong after training: 2" in text
    assert "Right after training: 1" in text
    assert text.index("second") < text.index("third") < text.index("first")


def test_headline_numbers():
    before = [row(), row(), row(needs_call=False, right=True, kind="no_tool")]
    after = [row(right=True), row(), row(needs_call=False, right=True, kind="no_tool")]
    text = re.sub(r"\s+", " ", Page(render_page(report(before, after), PNG)).text)
    assert "Exact calls 0 % → 50 % 0 → 1 of 2" in text
    assert "No needless call 100 % → 100 % 1 → 1 of 1" in text


def test_the_page_needs_nothing_else():
    one = [row()]
    html = render_page(report(one, one), PNG)
    assert f"data:image/png;base64,{base64.b64encode(PNG).decode()}" in html
    linked = re.findall(r"(?:src|href)\s*=\s*[\"']?(.{5})", html)
    assert linked == ["data:"]
    assert "http" not in html
    assert "@import" not in html
    assert "url(" not in html


@pytest.mark.parametrize("curve", [LossCurve({}, {}), LossCurve({1: 2.0, 2: 1.0}, {})])
def test_files(tmp_path, curve):
    before = [row(got="é 🦜 \ud800")]
    after = [row(right=True, got="é 🦜 \ud800")]
    paths = write_report(report(before, after, curve=curve), tmp_path / "a" / "report")
    assert sorted(path.name for path in paths.values()) == [
        "report.html",
        "report.png",
        "results.json",
    ]
    with Image.open(paths["picture"]) as image:
        assert image.format == "PNG"
        assert image.width > 1.5 * image.height or not curve.train
    results = json.loads(paths["results"].read_text())
    assert results["after"]["exact_calls"] == {"right": 1, "total": 1, "rate": 1.0}
    assert results["before"]["rows"][0]["got"] == "é 🦜 \ud800"
    assert "é 🦜" in paths["page"].read_text(encoding="utf-8")
