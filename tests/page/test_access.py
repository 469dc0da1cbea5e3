"""Who cannot see it well, has a small screen or no mouse: trees, contrast, order, width."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.page.test_chat import HI, answered

GOLDEN = Path(__file__).parent / "golden"
TABLE = "| a | b |\n|---|---|\n| 1 | 2 |\n\n```py\nx = 1\n```\n\n"
LIST = "[a link](https://a.example)\n\n- one\n- two"
SAID = {**HI, "Table": ["<think>\nA table.\n</think>\n\n", TABLE, LIST]}

# The least contrast of the text that is seen, with what it is; disabled buttons are let off
CONTRAST = """() => {
  const lightness = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map((value) => value / 255)
      .map((value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const color = getComputedStyle(node).backgroundColor;
      if (!/, 0\\)$/.test(color)) return color;
    }
    return "rgb(255, 255, 255)";
  };
  let least = [99, ""];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const text = walker.currentNode.data.trim();
    if (!text || !node.checkVisibility() || node.closest("[disabled], .unseen")) continue;
    const [a, b] = [getComputedStyle(node).color, ground(node)].map(lightness);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < least[0]) least = [ratio, text];
  }
  return least;
}"""

STUCK = """() => [...document.querySelectorAll(".bar, .composer")]
  .filter((node) => getComputedStyle(node).position === "sticky")
  .reduce((sum, node) => sum + node.offsetHeight, 0)"""
FOCUSED = """() => {
  const node = document.activeElement;
  if (node === document.body) return ""; // the browser's own controls
  return (node.ariaLabel ?? node.labels?.[0]?.innerText ?? node.innerText).split("\\n")[0];
}"""


def chatted(page):
    for text in ("Hi", "Bye", "Table"):
        page.locator("#message").fill(text)
        page.locator("#message").press("Enter")
        answered(page)
    return page


def same_as_golden(name, tree):
    """Compare with the file; where $XTUNE_GOLDEN is set it is written anew: read the difference."""
    tree = re.sub(r" · (\S+ a second|每秒 \S+ 个)", "", tree) + "\n"
    path = GOLDEN / f"{name}.yml"
    if os.environ.get("XTUNE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(tree, encoding="utf-8")
    assert tree == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_the_tree_that_a_screen_reader_walks(scripted, new_visit, locale):
    with scripted(SAID) as (api, _):
        page = chatted(new_visit(locale=locale).open(api))
        same_as_golden(f"chat.{locale[:2]}", page.locator("main").aria_snapshot())
        page.get_by_role("button", name={"en-US": "Settings", "zh-CN": "设置"}[locale]).click()
        same_as_golden(f"settings.{locale[:2]}", page.get_by_role("dialog").aria_snapshot())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(scripted, new_visit, scheme):
    with scripted(SAID) as (api, _):
        page = chatted(new_visit(color_scheme=scheme).open(api))
        page.locator("summary").last.click()
        ratio, text = page.evaluate(CONTRAST)
        assert ratio >= 4.5, text
        page.get_by_role("button", name="Settings").click()
        ratio, text = page.evaluate(CONTRAST)
        assert ratio >= 4.5, text


# 640 by 400 is what 1280 by 800 has at 200 % zoom, 320 by 256 what it has at 400 %
@pytest.mark.parametrize(("width", "height"), [(320, 560), (640, 400), (320, 256)])
def test_nothing_is_wider_than_the_screen(scripted, new_visit, width, height):
    long = {
        "Hi": [
            "x" * 400,
            f"\n\n```\n{'y' * 400}\n```\n\n|{'z|' * 40}\n|{'-|' * 40}\n\n`{'c' * 300}`",
        ]
    }
    with scripted(long) as (api, _):
        page = new_visit(viewport={"width": width, "height": height}).open(api)
        page.locator("#message").fill("Hi")
        page.locator("#message").press("Enter")
        answered(page)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        # what is read has half of the screen at least, next to what sticks
        stuck = page.evaluate(STUCK)
        assert stuck <= height / 2
        page.get_by_role("button", name="Settings").click()
        drawer = page.get_by_role("dialog")
        assert drawer.evaluate("(node) => node.scrollWidth <= node.clientWidth")


def test_the_keyboard_reaches_all_in_the_order_in_which_it_stands(scripted, visit):
    with scripted(HI) as (api, _):
        page = visit.open(api)
        page.locator("#message").fill("Hi")
        page.locator("#message").press("Enter")
        answered(page)
        page.evaluate("document.activeElement.blur()")
        order = [
            *("Skip to the content", *page.locator("header nav a").all_inner_texts(), "中文"),
            *("Model", "Settings", "Export", "New dialogue"),
            *("Edit", "Copy", "Regenerate", "Copy", "Message", "Send"),
        ]
        found = []
        for _ in range(2 * len(order) + 2):
            page.keyboard.press("Tab")
            found.append(page.evaluate(FOCUSED))
        first = found.index(order[0])
        assert found[first : first + len(order)] == order
        # no trap: it goes on through the browser's own controls, and begins anew
        assert order[0] in found[first + len(order) :]
