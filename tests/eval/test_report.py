"""The page shows what there is, escaped; the picture is a picture; the numbers are JSON."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.eval.results import comparison, results, row, task_result
from xtune.cli.eval import print_comparison
from xtune.errors import UsageError
from xtune.eval.comparison import Comparison, abilities_of
from xtune.eval.grid import Grid
from xtune.eval.loss_curve import LossCurve
from xtune.eval.pages.heat_map import grids_of
from xtune.eval.pages.markdown import markdown
from xtune.eval.pages.page import render_page
from xtune.eval.pages.picture import draw_picture
from xtune.eval.pages.report import write_comparison, write_report

PNG = b"\x89PNG"


class Page(HTMLParser):
    """What a browser would see: the tags, the text outside of <style> and scripts, the items."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.items, self._within = [], "", "", ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._within = "items" if ("id", "items") in attrs else tag

    def handle_endtag(self, tag):
        self._within = ""

    def handle_data(self, data):
        if self._within == "items":
            self.items += data
        elif self._within not in ("style", "script"):
            self.text += data

    @property
    def rows(self):
        return json.loads(self.items)["rows"]


def page_of(**changes):
    both = [row(**changes), row(group="other")]
    compared = comparison(both, both)
    return Page(render_page(compared.after, compared, PNG))


def test_a_script_in_an_answer_is_text():
    nasty = '</script><script>alert("x")</script><!-- <img src=x onerror=y> &amp; "quoted"'
    said = [{"text": nasty, "ended_by": "stop", "tokens": 3}]
    page = page_of(got="", question=nasty, expected=nasty, group=nasty, options=[nasty], raw=said)
    assert page.tags == page_of(group="some", got="").tags
    first = page.rows[0]
    assert [first[1], first[3], first[4], first[5], first[6][2]] == [
        nasty,
        nasty,
        [nasty],
        nasty,
        nasty,
    ]
    assert nasty in page.text  # the group, in its table


@settings(max_examples=60, deadline=None)
@given(got=st.text(), question=st.text(), group=st.text())
def test_no_text_changes_the_pages_structure(got, question, group):
    plain = page_of(group="some" if group != "other" else "other")
    page = page_of(got=got, question=question, group=group)
    assert page.tags == plain.tags
    assert (page.rows[0][1], page.rows[0][3], page.rows[0][6][1]) == (group, question, got)


def test_names_settings_and_prompts_are_escaped_too():
    made = results(
        [row()], "<b>m", settings={"<b>k": "<b>v"}, first_prompt="<b>p", notices=["<b>n"]
    )
    made.run["date"] = "<b>d"
    compared = Comparison("<b>t", made, made, LossCurve({}, {}))
    assert "<b>" not in render_page(made, compared, PNG)
    assert "<b>" not in render_page(made, None, PNG)


def test_what_a_task_says_of_itself_is_no_warning():
    made = results([row(cut=1)], notices=["quiz.csv: questions with options"])
    page = render_page(made, None, PNG)
    assert re.findall(r'<p class="(notice|warning)">(.*?)</p>', page) == [
        ("notice", "quiz: quiz.csv: questions with options"),
        ("warning", "quiz: 1 prompt is longer than the model&#x27;s context: cut at the left"),
    ]


def test_each_item_has_both_answers_and_what_they_are_worth():
    before = [row(got="1"), row(got="2", right=True, unanswered=True)]
    after = [row(got="3", right=True), row(got="4", margin=0.001)]
    compared = comparison(before, after)
    rows = Page(render_page(compared.after, compared, PNG)).rows
    assert [one[6] for one in rows] == [[1.0, "3", "", 0, 0], [0.0, "4", "", 0, 1]]
    assert [one[7] for one in rows] == [[0.0, "1", "", 0, 0], [1.0, "2", "", 1, 0]]
    alone = Page(render_page(compared.after, None, PNG)).rows
    assert [one[7] for one in alone] == [None, None]


def test_headline_numbers_and_what_may_be_luck():
    before = [row(), row(), row(right=True, group="no_tool")]
    after = [row(right=True), row(), row(right=True, group="no_tool")]
    compared = comparison(before, after)
    text = re.sub(r"\s+", " ", Page(render_page(compared.after, compared, PNG)).text)
    assert "quiz: acc 33.3 % → 66.7 % 1 of 3 (33 %) → 2 of 3 (67 %)" in text
    assert "no tool" in text
    pair = compared.paired("quiz")
    assert (pair.lost, pair.gained, pair.p_value, pair.n) == (0, 1, 1.0, 3)
    lost, gained = compared.flips("quiz")
    assert ([each.id for each in lost], [each.id for each in gained]) == ([], ["0"])


def test_less_is_better_turns_what_is_lost_round():
    before = [row(metrics={"bits": 2.0}), row(metrics={"bits": 1.0})]
    after = [row(metrics={"bits": 1.0}), row(metrics={"bits": 3.0})]
    changes = {"headline": "bits", "lower_is_better": True, "ability": None}
    compared = Comparison("t", results(before, **changes), results(after, **changes))
    lost, gained = compared.flips("quiz")
    assert ([each.id for each in lost], [each.id for each in gained]) == (["1"], ["0"])
    assert compared.paired("quiz").difference == 0.5


def texts(values, together):
    rows = [row(metrics={"bits_per_byte": value}, group="") for value in values]
    changes = {"task": "text", "headline": "bits_per_byte", "lower_is_better": True}
    return results(rows, **changes, overall={"bits_per_byte": together})


def test_what_all_items_have_together_stands_once_with_its_change(capsys):
    compared = Comparison("t", texts([1.0, 1.2], 1.15), texts([1.1, 1.4], 1.3))
    page = render_page(compared.after, compared, PNG)
    cells = re.findall(r"<td>bits per byte</td>(.*)</tr>", page)
    assert len(cells) == 1
    assert re.findall(r"<td>(.*?)</td>", cells[0])[:4] == ["2", "1.15", "1.3", "+0.15"]
    assert "less is better; 2 items" in page
    print_comparison(compared)
    lines = [line for line in capsys.readouterr().out.splitlines() if "bits per byte" in line]
    row, said = lines
    assert said == "text: bits per byte is larger in 2 of 2"
    assert re.findall(r"[+\d.]+", row)[:4] == ["2", "1.15", "1.3", "+0.15"]


@pytest.mark.parametrize(("with_shares", "width"), [(False, 3.6), (True, 9.2)])
def test_a_picture_has_a_panel_for_what_is_no_share(tmp_path, with_shares, width):
    text = texts([1.0], 1.0)
    if with_shares:
        text = replace(text, tasks={**text.tasks, **results([row()]).tasks})
    draw_picture(tmp_path / "picture.png", text, None, LossCurve({}, {}))
    with Image.open(tmp_path / "picture.png") as image:
        assert image.size == (round(width * 150), 540)


def test_settings_that_are_not_alike_are_said():
    one, other = results([row()]), results([row()])
    other["quiz"].settings["form"] = "completion"
    compared = Comparison("t", one, other)
    assert compared.differing("quiz") == ["form"]
    assert "form differ between the two" in Page(render_page(other, compared, PNG)).text


def test_one_id_with_two_questions_is_no_pair(capsys):
    before = [row(question="Old?", right=True), row(right=True)]
    after = [row(question="New?"), row(), row(right=True)]
    compared = comparison(before, after)
    assert [(b.id, a.id) for b, a in compared.pairs("quiz")] == [("1", "1")]
    assert len(compared.flips("quiz")[0]) == 1
    print_comparison(compared)
    said = capsys.readouterr()
    assert "quiz: 1 items are compared; 2 are not in both" in said.err
    assert "1 of 1 (100 %)" in said.out
    assert "of 2" not in said.out


def test_results_of_other_tasks_are_no_pair():
    with pytest.raises(UsageError, match="share no task: quiz and exam"):
        Comparison("t", results([row()]), results([row()], task="exam"))


def test_the_radar_needs_three_abilities():
    made = results([row(right=True), row(), row(), row()])
    for ability in ("language", "knowledge"):
        made.tasks[ability] = replace(task_result([row(right=True)]), ability=ability, chance=0.0)
    assert abilities_of(made) == {"exam": 0.0, "language": 1.0, "knowledge": 1.0}
    assert "<svg" in render_page(made, None, PNG)
    del made.tasks["language"]
    assert "<svg" not in render_page(made, None, PNG)


def test_the_page_needs_nothing_else():
    one = [row()]
    compared = comparison(one, one)
    html = render_page(compared.after, compared, PNG)
    assert f"data:image/png;base64,{base64.b64encode(PNG).decode()}" in html
    linked = re.findall(r"(?:src|href)\s*=\s*[\"']?(.{5})", html)
    assert linked == ["data:"]
    assert "http" not in html
    assert "@import" not in html
    assert "url(" not in html


def test_ten_thousand_items_are_a_page_of_a_few_megabytes():
    rows = [row(question=f"Which of these is {at}? " + "x " * 150) for at in range(14_000)]
    compared = comparison(rows, rows)
    html = render_page(compared.after, compared, PNG)
    assert len(html) < 10e6
    assert html.count("<article") == 0  # the script makes fifty at a time


@pytest.mark.parametrize(
    "curve",
    [
        LossCurve({}, {}),
        LossCurve({1: 2.0, 2: 1.0}, {}),
        LossCurve({1: 2.0, 2: 1.0}, {}, {"mmlu": {0: 0.3, 2: 0.4}}),
    ],
)
def test_files(tmp_path, curve):
    before = [row(got="é 🦜 \ud800")]
    after = [row(right=True, got="é 🦜 \ud800")]
    paths = write_comparison(comparison(before, after, curve=curve), tmp_path / "a" / "report")
    assert sorted(path.name for path in paths.values()) == [
        "report.html",
        "report.md",
        "report.png",
        "results.json",
    ]
    with Image.open(paths["picture"]) as image:
        assert image.format == "PNG"
        panels = 1 + bool(curve.train) + bool(curve.tasks)
        assert image.width > 1.5 * image.height * (panels > 1)
        assert image.width == pytest.approx(840 * panels, abs=2)
    found = json.loads(paths["results"].read_text())["tasks"]["quiz"]
    assert (found["before"], found["after"], found["gained"], found["lost"]) == (0.0, 1.0, 1, 0)
    assert found["examples"]["gained"][0]["got"] == "é 🦜 \ud800"
    assert found["paired"]["acc"]["gained"] == 1
    assert "é 🦜" in paths["page"].read_text(encoding="utf-8")


def test_one_measurement_has_a_report_too(tmp_path):
    paths = write_report(results([row(), row(right=True)]), tmp_path)
    assert sorted(path.name for path in paths.values()) == [
        "report.html",
        "report.md",
        "report.png",
    ]
    assert "| quiz | acc | 2 | 50.0 % | 50.0 % |" in paths["table"].read_text()


def test_the_table_to_paste():
    before, after = [row() for _ in range(8)], [row(right=True) for _ in range(8)]
    compared = comparison(before, after)
    table = markdown(compared.after, compared)
    assert (
        "| quiz | acc | 8 | 0.0 % | 100.0 % | +100.0 (+100.0 … +100.0) | 0.008 | 0 | 8 |" in table
    )
    assert "quiz: form chat, scoring option_letter." in table
    assert "xtune 0.1.0." in table


def test_results_on_a_grid_are_heat_maps(tmp_path):
    def cells(*right):
        places = [(1000, 0), (1000, 50), (2000, 0), (1000, 0)]
        return [
            row(right=one, notes={"cell": {"length": length, "depth": depth}})
            for one, (length, depth) in zip(right, places, strict=True)
        ]

    compared = comparison(cells(0, 0, 1, 0), cells(1, 0, 1, 0))
    (_, before), (title, after) = grids_of(compared.after, compared.before)
    assert title == "quiz: acc, %, after"
    assert before.means == [[0.0, 0.0], [1.0, None]]
    assert after == Grid(("length", "depth"), [1000, 2000], [0, 50], [[0.5, 0.0], [1.0, None]])
    draw_picture(tmp_path / "picture.png", compared.after, compared.before, LossCurve({}, {}))
    with Image.open(tmp_path / "picture.png") as image:
        assert image.size == (round(3 * 5.6 * 150), 540)
    assert grids_of(results([row(), *cells(1, 1, 1, 1)]), None) == []
