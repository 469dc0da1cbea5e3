"""Runs, curves, data and evaluations, met with eyes, a keyboard or a screen reader."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager

import pytest

from tests.page.test_access import CONTRAST, same_as_golden
from tests.serve.conftest import serving
from tests.serve.runs_server import REPORT, run_with
from xtune.serve.api.context import ApiContext
from xtune.serve.page.run_folder import RunFolder

LONG_AGO = 1_790_000_000
FIRST = [{"step": s, "loss": 4 - s / 4, "lr": 0.001, "tokens": 10 * s} for s in range(1, 9)]
SECOND = [{"step": s, "loss": 3 - s / 8, "lr": 0.002} for s in range(2, 11, 2)]
SECOND[2]["loss"] = None


@pytest.fixture
def serve(talker):
    @contextmanager
    def serve(folder, **settings):
        context = ApiContext(runs=None if folder is None else RunFolder(folder))
        with serving(talker, context=context, **settings) as api:
            yield api

    return serve


@pytest.fixture
def logged(tmp_path):
    """Two runs that have ended long ago, with round numbers."""
    for name, rows in (("first", FIRST), ("second", SECOND)):
        run_with(tmp_path / name, [json.dumps(row) for row in rows])
        for path in (tmp_path / name).iterdir():
            os.utime(path, (LONG_AGO, LONG_AGO + (name == "first")))
    return tmp_path


def tree(page, folder, selector="main"):
    """A tree, without the name of a folder that is another one each time."""
    return page.locator(selector).aria_snapshot().replace(str(folder), "FOLDER")


def test_two_runs_are_chosen_and_laid_over_each_other(serve, logged, new_visit):
    with serve(logged) as api:
        page = new_visit(timezone_id="UTC").open(api, "runs")
        compare = page.get_by_role("button", name="Lay curves over each other")
        page.get_by_role("row", name="second").wait_for()
        same_as_golden("runs.en", tree(page, logged))
        assert compare.is_disabled()
        page.get_by_label("Choose first").check()
        page.get_by_label("Choose second").check()
        compare.click()
        page.get_by_role("heading", name="Curves of first · second").wait_for()
        loss = page.get_by_role("region", name="loss", exact=True)
        loss.get_by_role("slider").wait_for()
        lines = loss.locator("svg g > path:not(.lost)")
        assert lines.count() == 2
        # the second one is broken where its loss is not finite, and a mark stands there
        assert lines.nth(1).get_attribute("d").count("M") == 2
        assert loss.locator("path.lost").count() == 1
        # arrow keys go from step to step, and what is there is said
        slider = loss.get_by_role("slider")
        assert slider.get_attribute("aria-valuetext") == "step 10: second: 1.75"
        slider.focus()
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        assert slider.get_attribute("aria-valuetext") == "step 2: first: 3.5 · second: 2.75"
        for _ in range(4):
            page.keyboard.press("ArrowRight")
        assert slider.get_attribute("aria-valuetext") == "step 6: first: 2.5 · second: not finite"
        assert loss.locator(".reading").inner_text() == slider.get_attribute("aria-valuetext")
        loss.get_by_text("Values").click()
        loss.locator("tbody tr").first.wait_for()
        cells = loss.locator("tbody tr").all_inner_texts()
        assert [row.split("\t") for row in cells][:3] == [
            ["1", "3.75", "–"],
            ["2", "3.5", "2.75"],
            ["3", "3.25", "–"],
        ]
        same_as_golden("curves.en", tree(page, logged))
        # what is not shown at first can be
        assert page.get_by_role("region", name="tokens", exact=True).count() == 0
        page.get_by_label("tokens", exact=True).check()
        page.get_by_role("region", name="tokens", exact=True).wait_for()
        page.get_by_label("Laid over it").select_option("")
        page.get_by_role("heading", name="Curves of first", exact=True).wait_for()


def test_smoothing_is_the_mean_of_the_last_steps(serve, logged, visit):
    from playwright.sync_api import expect

    with serve(logged) as api:
        page = visit.open(api, "curves/first")
        slider = page.get_by_role("region", name="loss", exact=True).get_by_role("slider")
        slider.wait_for()
        assert slider.get_attribute("aria-valuetext") == "step 8: 2"
        page.get_by_label("Smoothing").select_option("5")
        expect(slider).to_have_attribute("aria-valuetext", "step 8: 2.5")
        page.reload()  # the choice is kept
        expect(slider).to_have_attribute("aria-valuetext", "step 8: 2.5")


LOOK = """(hidden) => {
  Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_run_that_trains_is_asked_for_again_while_somebody_looks(serve, logged, visit):
    log = logged / "first" / "metrics.jsonl"
    os.utime(log)  # it has just grown
    asked = []
    visit.context.on("request", lambda request: asked.append(request.url))
    with serve(logged) as api:
        page = visit.open(api, "curves/first")
        slider = page.get_by_role("region", name="loss", exact=True).get_by_role("slider")
        slider.focus()
        page.get_by_text("first: training, step 8").wait_for()
        page.evaluate(LOOK, True)
        with log.open("a") as file:
            file.write('{"step": 9, "loss": 1.25}\n')
        before = sum("/curves?" in url for url in asked)
        page.wait_for_timeout(300)
        assert sum("/curves?" in url for url in asked) == before
        page.evaluate(LOOK, False)
        page.get_by_text("first: training, step 9").wait_for()
        assert slider.get_attribute("aria-valuetext") == "step 9: 1.25"
        assert slider.evaluate("(node) => node === document.activeElement")


def test_rows_show_what_is_trained_and_what_is_special(serve, runs, inputs, visit):
    with serve(runs) as api:
        page = visit.open(api, "data/sft")
        row = page.get_by_role("region", name="Row 0", exact=True).first
        row.wait_for()
        page.get_by_text("1 to 5 of 60 rows").wait_for()
        trained = row.locator(".tokens .trained .token")
        assert trained.last.inner_text() == "<|im_end|>"
        assert (
            trained.first.evaluate("(n) => getComputedStyle(n).textDecorationLine") == "underline"
        )
        special = row.locator(".tokens .token.special").all_inner_texts()
        assert special == ["<|im_start|>", "<|im_end|>", "<|im_start|>", "<|im_end|>"]
        row_tree = tree(page, inputs.data.parent, ".rows > section >> nth=0")
        same_as_golden("data.en", row_tree)
        page.get_by_role("button", name="Further rows").click()
        page.get_by_text("6 to 10 of 60 rows").wait_for()
        assert page.evaluate("document.activeElement.id") == "data-on"
        page.get_by_label("Row number").fill("57")
        page.get_by_role("button", name="Go there").click()
        page.get_by_text("58 to 60 of 60 rows").wait_for()
        assert page.get_by_role("button", name="Further rows").is_disabled()
        page.get_by_label("Order").select_option("longest")
        page.get_by_text("1 to 5 of 60 rows").wait_for()
        counts = [
            int(text.split(" · ")[1].split()[0])
            for text in page.locator(".rows .hint").all_inner_texts()
        ]
        assert counts == sorted(counts, reverse=True)
        page.get_by_label("Source").select_option(index=2)
        page.get_by_text("1 to 5 of 12 rows").wait_for()
        page.get_by_label("Rows", exact=True).select_option("true")
        page.get_by_text("There are no such rows.").wait_for()
        page.get_by_label("Part").select_option("validation")
        page.get_by_text("There are no such rows.").wait_for()
        page.get_by_label("Rows", exact=True).select_option("false")
        page.get_by_text("1 to 5 of 6 rows").wait_for()
        page.get_by_text("Lengths as a table").click()
        page.locator(".histogram tbody td").first.wait_for()
        counts = page.locator(".histogram tbody td").all_inner_texts()
        assert sum(map(int, counts)) == 6


def test_the_answers_of_a_pair_stand_side_by_side(serve, runs, visit):
    with serve(runs) as api:
        page = visit.open(api, "data/dpo")
        row = page.get_by_role("region", name="Row 0", exact=True)
        chosen = row.get_by_role("region", name="chosen").bounding_box()
        rejected = row.get_by_role("region", name="rejected").bounding_box()
        assert chosen["y"] == rejected["y"]
        assert chosen["x"] + chosen["width"] <= rejected["x"]
        page.set_viewport_size({"width": 390, "height": 844})
        assert row.get_by_role("region", name="rejected").bounding_box()["y"] > chosen["y"]


def test_evaluations_have_their_scores_and_reports_that_can_do_nothing(serve, runs, visit):
    with serve(runs) as api:
        page = visit.open(api, "evaluations")
        page.get_by_role("heading", name="sft, before and after").wait_for()
        same_as_golden("evaluations.en", tree(page, runs))
        page.goto(f"{api.url}/#evaluations/sft")
        page.get_by_role("heading", name="Evaluations of sft").wait_for()
        with page.expect_popup() as opened:
            page.get_by_role("link", name="Open the report").click()
        said = opened.value.locator("#said")
        opened.value.wait_for_load_state()
        assert said.inner_text() == "the script has run, from null"
        colour = said.evaluate("(node) => getComputedStyle(node).color")
        assert colour == "rgb(255, 0, 0)"


def test_where_a_key_is_asked_for_the_report_is_saved(serve, runs, visit):
    visit.expected = ["401"]
    with serve(runs, keys=["secret"]) as api:
        page = visit.open(api, "evaluations/sft")
        page.get_by_role("textbox", name="Key").fill("secret")
        page.get_by_role("button", name="Enter").click()
        with page.expect_download() as saved:
            page.get_by_role("button", name="Save the report").click()
        assert saved.value.suggested_filename == "sft-report.html"
        assert saved.value.path().read_text() == REPORT


@pytest.mark.parametrize(
    ("locale", "title", "nothing", "off"),
    [
        ("en-US", "Runs", "There are no runs in", "start it with --runs FOLDER"),
        ("zh-CN", "训练", "中还没有训练", "启动时请加 --runs"),
    ],
)
def test_without_runs_it_says_what_to_do(serve, tmp_path, new_visit, locale, title, nothing, off):
    visit = new_visit(locale=locale)
    with serve(tmp_path / "work_dirs") as api:
        page = visit.open(api, "runs")
        page.get_by_role("heading", name=title, exact=True).wait_for()
        page.get_by_text(nothing).wait_for()
        page.get_by_text("xtune train smollm2_135m_lora_toolcall").wait_for()
    with serve(None) as api:
        visit.open(api, "runs").get_by_text(off).wait_for()


def test_a_run_that_is_gone_says_so(serve, logged, visit):
    visit.expected = ["404", "409"]
    with serve(logged) as api:
        page = visit.open(api, "curves/gone")
        page.get_by_role("alert").get_by_text("there is no run 'gone'").wait_for()
        page = visit.open(api, "data/first")
        page.get_by_role("alert").get_by_text("xtune log-dataset").wait_for()


@pytest.mark.parametrize(("scheme", "locale"), [("light", "en-US"), ("dark", "zh-CN")])
def test_all_of_it_can_be_read_and_nothing_is_wider_than_a_phone(
    serve, runs, new_visit, scheme, locale
):
    visit = new_visit(color_scheme=scheme, locale=locale, viewport={"width": 320, "height": 640})
    with serve(runs) as api:
        for view, ready in (
            ("runs", "row"),
            ("curves/sft/dpo", "slider"),
            ("data/sft", "button"),
            ("data/dpo", "button"),
            ("evaluations", "row"),
        ):
            page = visit.open(api, view)
            page.locator("main").get_by_role(ready).first.wait_for()
            ratio, text = page.evaluate(CONTRAST)
            assert ratio >= 4.5, (view, text)
            assert page.evaluate("document.documentElement.scrollWidth") == 320, view
