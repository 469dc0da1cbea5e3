"""Show prompt: the tokens of a row, which of them are trained, and the id of each."""

from __future__ import annotations

import json

import pytest

from tests.page.test_access import CONTRAST, same_as_golden
from tests.serve.test_chat_completions import WHO, post

DIALOGUE = [*WHO, {"role": "assistant", "content": "A parrot."}]


def show(page, row):
    page.wait_for_selector("#prompt-model option", state="attached")
    page.get_by_label("Row, as JSON").fill(row if isinstance(row, str) else json.dumps(row))
    page.get_by_role("button", name="Show tokens").click()


@pytest.fixture
def page(api, visit):
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    return visit.open(api, "prompt")


def test_trained_tokens_are_counted_coloured_and_underlined(page, api):
    show(page, {"messages": DIALOGUE})
    told = post(api, "/xtune/prompt", {"model": "base", "messages": DIALOGUE})["documents"][0]
    count = told["count"]
    page.get_by_text(
        f"{count['tokens']} tokens, {count['trained']} of them trained"
    ).first.wait_for()
    trained = page.locator(".tokens .trained .token")
    assert "".join(trained.all_text_contents()) == "A parrot.<|im_end|>"
    assert page.locator(".tokens .token").count() == count["tokens"]
    style = "node => { const s = getComputedStyle(node); return [s.textDecorationLine, s.color]; }"
    line, colour = trained.first.evaluate(style)
    assert line == "underline"  # seen without colour, too
    assert page.locator(".tokens .token").first.evaluate(style) != [line, colour]


def test_a_request_is_shown_as_it_is_read(page):
    show(page, WHO)  # the list of messages alone
    page.get_by_text("As the model reads it before it answers.").wait_for()
    assert page.locator(".tokens .trained").count() == 0
    text = "".join(page.locator(".tokens .token").all_text_contents())
    assert text == ("<|im_start|>user⏎\nWho are you?<|im_end|>⏎\n<|im_start|>assistant⏎\n")


def test_text_and_ids_are_copied(page, api):
    show(page, WHO)
    page.get_by_role("button", name="Copy ids").click()
    page.get_by_role("button", name="Copied").wait_for()
    ids = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert ids == post(api, "/tokenize", {"model": "base", "messages": WHO})["tokens"]
    page.get_by_role("button", name="Copy text").click()
    prompt = post(api, "/apply-template", {"model": "base", "messages": WHO})["prompt"]
    page.wait_for_function(
        "prompt => navigator.clipboard.readText().then(text => text === prompt)", arg=prompt
    )


def test_ids_are_told_on_hover_and_by_arrow_keys_behind_one_stop(page, api):
    show(page, {"messages": [*WHO, {"role": "assistant", "content": "🦜", "weight": 0.5}]})
    row = [*WHO, {"role": "assistant", "content": "🦜", "weight": 0.5}]
    told = post(api, "/xtune/prompt", {"model": "base", "messages": row})["documents"][0]["tokens"]
    about = page.locator(".token-about")
    first = page.locator(".tokens .token").first
    first.hover()
    n = len(told)
    about.get_by_text(f'1 of {n}: id {told[0]["id"]}, "<|im_start|>"').wait_for()
    page.get_by_role("button", name="Copy ids").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    about.get_by_text(
        f'{n} of {n}: id {told[-1]["id"]}, "<|im_end|>", trained, counts 0.5 times'
    ).wait_for()
    page.keyboard.press("ArrowLeft")
    about.get_by_text(f'{n - 1} of {n}: id {told[-2]["id"]}, "🦜", trained').wait_for()
    page.keyboard.press("ArrowLeft")
    about.get_by_text(f"{n - 2} of {n}: id {told[-3]['id']}, a part of a character").wait_for()
    page.keyboard.press("ArrowRight")
    about.get_by_text(f"{n - 1} of {n}:").wait_for()
    page.keyboard.press("Home")
    about.get_by_text(f"1 of {n}:").wait_for()
    assert page.locator('.tokens .token[tabindex="0"]').count() == 1


def test_what_is_no_row_is_said(page, visit):
    for row, said in [
        ("{", "This is no JSON"),
        ("5", 'Give {"messages"'),
        ('{"text": "a"}', 'Give {"messages"'),
    ]:
        show(page, row)
        page.get_by_role("alert").get_by_text(said).wait_for()
        assert page.get_by_label("Row, as JSON").get_attribute("aria-invalid") == "true"
    visit.expected = ["400"]
    show(page, {"messages": [{"role": "usr", "content": "Hi"}]})
    page.get_by_role("alert").get_by_text("did you mean 'user'").wait_for()
    show(page, {"messages": DIALOGUE})
    page.locator(".tokens").wait_for()
    assert page.get_by_role("alert").inner_text() == ""


def test_what_the_template_leaves_out_and_nobody_reads_is_said(page):
    show(page, {"messages": [{**WHO[0], "mood": "glad"}, DIALOGUE[1]]})
    page.get_by_text("Not read: messages.mood").wait_for()


def test_a_row_stays_text(page):
    show(page, {"messages": [{"role": "user", "content": "<img src=x onerror=alert(1)>"}]})
    page.locator(".tokens").wait_for()
    assert page.locator("main img").count() == 0
    text = "".join(page.locator(".tokens .token").all_text_contents())
    assert "<img src=x onerror=alert(1)>" in text


def test_the_tree_that_a_screen_reader_is_given(page):
    show(page, {"messages": DIALOGUE})
    page.locator(".tokens").wait_for()
    same_as_golden("prompt.en", page.locator("main").aria_snapshot())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(api, new_visit, scheme):
    page = new_visit(color_scheme=scheme).open(api, "prompt")
    show(page, {"messages": [{**WHO[0], "mood": "glad"}, DIALOGUE[1]]})
    page.locator(".tokens").wait_for()
    ratio, text = page.evaluate(CONTRAST)
    assert ratio >= 4.5, text
