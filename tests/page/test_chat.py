"""The chat view, as a reader uses it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.page.scripted import Broke
from tests.serve.conftest import eventually
from xtune.data.map_fns.openai import openai_map_fn
from xtune.data.sources.json_reader import read_json

HI = {"Hi": ["Hello. ", "I am a **parrot", "**!"], "Bye": ["So", " long."], "More": ["Again."]}


def say(page, text, ends=True):
    """Send a message; wait for the end of its answer."""
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")
    if ends:
        answered(page)


def answered(page):
    page.locator(".turn.assistant:last-child:not(.writing)").wait_for()


def texts(page, kind="turn"):
    return page.locator(f".{kind} .text").all_inner_texts()


def test_an_answer_is_shown_as_it_comes_and_said_by_sentences(scripted, visit):
    with scripted(HI, held=True) as (api, engine):
        page = visit.open(api)
        say(page, "Hi", ends=False)
        engine.let(2)
        page.locator(".answer", has_text="I am a **parrot").wait_for()
        log = page.get_by_role("log")
        assert log.locator("p").all_inner_texts() == ["Hello."]
        assert page.get_by_role("button", name="Stop").is_visible()
        engine.let()
        answered(page)
        assert page.locator(".answer strong").inner_text() == "parrot"
        assert log.locator("p").all_inner_texts() == ["Hello.", "I am a parrot!"]
        assert page.locator(".about").inner_text().startswith("3 tokens")
        assert page.get_by_role("button", name="Stop").is_hidden()


def test_the_answer_is_the_models_own(api, visit):
    page = visit.open(api)
    say(page, "Say it in Greek, please!")
    assert texts(page) == ["Say it in Greek, please!", "Γεια σου 🦜 κόσμε"]
    page.reload()
    page.locator(".turn.assistant").wait_for()  # this tab has kept it
    assert texts(page)[1] == "Γεια σου 🦜 κόσμε"


def test_stop_frees_the_row_and_keeps_what_came(api, visit):
    visit.keep("sampling", {"temperature": 2, "seed": 4, "top_k": 0, "top_p": 1})
    page = visit.open(api)
    page.get_by_label("Model").select_option("red")
    say(page, "Who are you?", ends=False)
    assert eventually(lambda: api.engine.counts()["rows_running"] == 1)
    page.locator(".answer .text:not(:empty)").wait_for()
    page.get_by_role("button", name="Stop").click()
    assert eventually(lambda: api.engine.counts()["rows_running"] == 0)
    answered(page)
    assert page.locator(".about").inner_text().endswith("stopped")
    assert texts(page, "assistant")[0] != ""


def test_regenerate_and_edit_drop_what_follows_after_asking(scripted, visit):
    with scripted(HI) as (api, engine):
        page = visit.open(api)
        say(page, "Hi")
        say(page, "Bye")
        page.get_by_role("button", name="Regenerate").last.click()  # nothing follows: not asked
        assert eventually(lambda: len(engine.asked) == 3)
        answered(page)
        assert engine.asked[2] == engine.asked[1]

        page.get_by_role("button", name="Edit").first.click()
        page.get_by_label("Edit the message").fill("More")
        page.get_by_role("button", name="Send").first.click()
        window = page.get_by_role("dialog")
        assert "dropped: 3." in window.inner_text()
        window.get_by_role("button", name="Cancel").click()
        assert len(texts(page)) == 4 - 1  # the first is still being edited
        page.get_by_role("button", name="Send").first.click()
        page.get_by_role("dialog").get_by_role("button", name="Send").click()
        page.locator(".answer", has_text="Again.").wait_for()
        answered(page)
        assert texts(page) == ["More", "Again."]
        assert "Hi" not in engine.asked[-1]
        assert "Bye" not in engine.asked[-1]


def test_escape_ends_an_edit_and_leaves_all_as_it_was(scripted, visit):
    with scripted(HI) as (api, _):
        page = visit.open(api)
        say(page, "Hi")
        page.get_by_role("button", name="Edit").click()
        page.get_by_label("Edit the message").fill("Bye")
        page.keyboard.press("Escape")
        assert texts(page)[0] == "Hi"
        assert page.evaluate("document.activeElement.textContent") == "Edit"


def test_the_dialogue_leaves_as_a_row_of_training_data(scripted, visit, tmp_path):
    with scripted({"Hi": ["<think>\nA gre", "eting.\n</think>\n\nHello."]}) as (api, _):
        page = visit.open(api)
        page.get_by_role("button", name="Settings").click()
        page.get_by_label("System text").fill("Be brief.")
        page.get_by_role("button", name="Close").click()
        assert page.get_by_text("System text: Be brief.").is_visible()
        say(page, "Hi")
        with page.expect_download() as download:
            page.get_by_role("button", name="Export").click()
        saved = Path(tmp_path / download.value.suggested_filename)
        download.value.save_as(saved)
        row = json.loads(saved.read_text("utf-8"))
        assert row == {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello.", "reasoning_content": "A greeting."},
            ]
        }
        assert [openai_map_fn(read) for _, read in read_json(saved)] == [row]


def test_thinking_is_folded(scripted, visit):
    with scripted({"Hi": ["<think>\nA gre", "eting.\n</think>\n\nHello."]}) as (api, _):
        page = visit.open(api)
        say(page, "Hi")
        assert texts(page, "assistant") == ["Hello."]
        thought = page.locator(".thought")
        assert not thought.is_visible()
        page.get_by_text("Thinking").click()
        assert thought.inner_text() == "A greeting."


def test_enter_sends_but_not_with_shift_nor_while_a_word_is_composed(scripted, visit):
    with scripted(HI) as (api, engine):
        page = visit.open(api)
        message = page.get_by_label("Message", exact=True)
        message.fill("Hi")
        message.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
        message.dispatch_event("keydown", {"key": "Enter", "keyCode": 229})
        message.press("Shift+Enter")
        message.press_sequentially("there")
        assert message.input_value() == "Hi\nthere"
        assert engine.asked == []
        message.press("Enter")
        answered(page)
        assert texts(page)[0] == "Hi\nthere"
        message.fill("  \n")
        message.press("Enter")
        assert len(engine.asked) == 1


def test_sampling_is_sent_kept_and_reset(scripted, visit):
    with scripted(HI) as (api, _):
        page = visit.open(api)
        sent = []
        page.on("request", lambda request: sent.append(request.post_data_json))

        def body():
            say(page, "Hi")
            return sent[-1]

        first = body()
        assert first["messages"] == [{"role": "user", "content": "Hi"}]
        assert {key: first[key] for key in ("temperature", "top_p", "top_k", "max_tokens")} == {
            "temperature": 0.1,
            "top_p": 0.75,
            "top_k": 40,
            "max_tokens": 1024,
        }  # as xtune chat samples
        assert "seed" not in first
        page.get_by_role("button", name="Settings").click()
        page.get_by_label("temperature").fill("0.33")
        page.get_by_label("seed").fill("7")
        page.get_by_label("max_tokens").fill("")
        page.get_by_label("top_k").fill("1.5")
        page.keyboard.press("Escape")
        second = body()
        assert (second["temperature"], second["seed"], second["top_k"]) == (0.33, 7, 40)
        assert "max_tokens" not in second
        page.reload()
        page.get_by_role("button", name="Settings").click()
        assert page.get_by_label("temperature").input_value() == "0.33"
        page.get_by_role("button", name="As xtune chat samples").click()
        page.keyboard.press("Escape")
        assert body()["temperature"] == 0.1


def test_a_long_dialogue_has_a_table_of_contents(scripted, new_visit):
    with scripted(HI) as (api, _):
        page = new_visit().open(api)
        for text in ("Hi", "Bye", "Hi again\nand more"):
            say(page, text)
        contents = page.get_by_role("navigation", name="Contents")
        assert contents.get_by_role("button").all_inner_texts() == ["Hi", "Bye", "Hi again"]
        contents.get_by_role("button", name="Bye").click()
        assert page.evaluate("document.activeElement.innerText").startswith("You\nBye")
        page.set_viewport_size({"width": 400, "height": 700})
        assert not contents.is_visible()
        page.get_by_role("button", name="Contents").click()
        page.get_by_role("dialog").get_by_role("button", name="Hi", exact=True).click()
        assert page.get_by_role("dialog").count() == 0
        assert page.evaluate("document.activeElement.innerText").startswith("You\nHi")


def test_two_hundred_messages_and_a_long_answer_do_not_stop_the_page(scripted, visit):
    paragraph = "Words of *a long* answer, with `code`, in a paragraph of its own.\n\n"
    pieces = [paragraph] * (100_000 // len(paragraph) + 1)
    turns = [
        {"role": "user", "content": f"Question {n // 2}"}
        if n % 2 == 0
        else {
            "role": "assistant",
            "model": "base",
            "content": "**So.**",
            "end": "stop",
            "calls": [],
        }
        for n in range(200)
    ]
    visit.keep("dialogue", turns, storage="sessionStorage")
    with scripted({"Long": pieces}) as (api, _):
        page = visit.open(api)
        assert page.locator(".turn").count() == 200
        say(page, "Long", ends=False)
        page.locator(".answer", has_text="Words of a long answer").wait_for()
        page.get_by_label("Message", exact=True).press_sequentially("typed meanwhile")
        answered(page)
        assert page.locator(".turn:last-child .text p").count() == len(pieces)
        assert page.get_by_label("Message", exact=True).input_value() == "typed meanwhile"
        assert page.get_by_role("button", name="To the end").is_hidden()  # it has kept at the end


def test_who_reads_further_up_is_left_there(scripted, visit):
    with scripted({"Long": ["A line.\n\n"] * 200}, held=True) as (api, engine):
        page = visit.open(api)
        say(page, "Long", ends=False)
        engine.let(100)
        page.locator(".answer p:nth-child(100)").wait_for()
        page.evaluate("scrollTo(0, 300)")
        engine.let(100)
        answered(page)
        assert page.evaluate("scrollY") == 300
        page.get_by_role("button", name="To the end").click()
        assert page.evaluate("scrollY") > 1000


def test_a_key_is_asked_for_and_kept_for_this_tab(scripted, visit):
    visit.expected = ["401"]
    with scripted(HI, keys=["séc-ret"]) as (api, _):
        page = visit.context.new_page()
        page.goto(api.url)
        window = page.get_by_role("dialog", name="This server asks for a key")
        window.get_by_label("Key").fill("wrong")
        page.keyboard.press("Enter")
        window.get_by_text("That key is not accepted.").wait_for()
        window.get_by_label("Key").fill("séc-ret")
        window.get_by_role("button", name="Enter").click()
        page.wait_for_selector("#model option", state="attached")
        say(page, "Hi")
        page.reload()
        page.wait_for_selector("#model option", state="attached")
        say(page, "Bye")
        assert texts(page)[-1] == "So long."
        assert "séc-ret" in page.evaluate("sessionStorage.getItem('xtune.key')")
        assert page.evaluate("Object.keys(localStorage)") == []


def test_who_has_no_key_is_told(scripted, visit):
    visit.expected = ["401"]
    with scripted(HI, keys=["secret"]) as (api, _):
        page = visit.context.new_page()
        page.goto(api.url)
        page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        page.get_by_text("The server refuses: a key is missing;").wait_for()
        assert page.get_by_role("button", name="Send").is_disabled()


def test_a_busy_server_is_asked_again(scripted, visit):
    visit.expected = ["429"]
    with scripted(HI, busy=1) as (api, engine):
        page = visit.open(api)
        say(page, "Hi", ends=False)
        page.get_by_text("The server is busy. It is asked again in 1 s.").wait_for()
        answered(page)
        assert texts(page)[1].startswith("Hello.")
        assert page.locator("#state").inner_text() == ""
        assert len(engine.asked) == 1


def test_the_page_outlives_the_server(scripted, visit):
    visit.expected = ["ERR_", "request:"]
    with scripted(HI, held=True, grace=0) as (api, engine):
        page = visit.open(api)
        say(page, "Hi", ends=False)
        engine.let()
        page.locator(".answer", has_text="Hello.").wait_for()
    answered(page)  # the server has gone in the middle of it
    assert texts(page)[1] == "Hello."
    assert page.locator(".about").inner_text() == (
        "The server went away in the middle of this answer."
    )
    page.get_by_text("The server does not answer. It is asked again until it does.").wait_for()
    say(page, "Bye", ends=False)
    with scripted(HI, port=api.port):
        page.get_by_text("The server answers again.").wait_for()
        answered(page)
        assert texts(page) == ["Hi", "Hello.", "Bye", "So long."]


def test_a_failure_says_why_and_can_be_tried_again(scripted, visit):
    visit.expected = ["500"]
    with scripted({"Hi": [Broke("a broken layer")]}) as (api, _):
        page = visit.open(api)
        say(page, "Hi")
        assert page.locator(".about").inner_text() == "No answer: a broken layer"
        assert page.get_by_role("button", name="Regenerate").is_visible()


def test_a_model_that_is_gone_is_not_replaced_by_another(scripted, visit, talker):
    from xtune.serve.served import Served

    visit.expected = ["404"]
    with scripted(HI) as (api, engine):
        page = visit.open(api)
        page.get_by_label("Model").select_option("red")
        say(page, "Hi")
        left = [model for name, model in talker.models.items() if name != "red"]
        api.context.served = Served(talker.switch, left)
        say(page, "Bye")
        assert page.locator(".about").last.inner_text() == (
            "No answer: there is no model 'red'; there are: base, blue"
        )
        page.locator("#model option", has_text="red (no longer served)").wait_for(state="attached")
        assert len(engine.asked) == 1
        page.get_by_label("Model").select_option("blue")
        page.get_by_role("button", name="Regenerate").last.click()
        page.locator(".answer", has_text="So long.").wait_for()
        assert page.locator(".turn h2").all_inner_texts() == ["You", "red", "You", "blue"]


def test_markup_in_messages_answers_and_names_stays_text(scripted, visit, talker):
    from xtune.serve.served import Served, ServedModel

    nasty = "<img src=x onerror=alert(1)>"
    served = Served(talker.switch, [ServedModel(nasty, talker.models["base"].chat, None)])
    with scripted(
        {"Hi": [f"<think>{nasty}</think>", nasty, f"\n\n| {nasty} |\n|-|\n", "```\n", nasty]},
        served=served,
    ) as (api, _):
        page = visit.open(api)
        for _ in range(3):
            say(page, f"Hi {nasty}")
        assert page.locator("img, script:not([src]), iframe").count() == 0
        assert page.locator(".turn h2").all_inner_texts()[1] == nasty
        assert page.get_by_label("Model").input_value() == nasty
        assert page.locator(".answer").first.inner_text().count(nasty) == 3


def test_an_answer_goes_on_while_another_language_is_chosen(scripted, visit):
    with scripted(HI, held=True) as (api, engine):
        page = visit.open(api)
        say(page, "Hi", ends=False)
        engine.let()
        page.locator(".answer", has_text="Hello.").wait_for()
        page.get_by_role("button", name="中文").click()
        page.get_by_role("button", name="停止").wait_for()
        engine.let(2)
        answered(page)
        assert texts(page)[1] == "Hello. I am a parrot!"
        assert page.get_by_role("log").locator("p").all_inner_texts()[1:] == ["I am a parrot!"]
