"""Compare: the same question to several models, where they part, and a pair out of two answers."""

from __future__ import annotations

import json
import math

import pytest

from tests.page.scripted import Broke, ScriptedEngine
from tests.page.test_access import CONTRAST, same_as_golden
from tests.serve.conftest import eventually, serving
from tests.serve.test_chat_completions import chat
from xtune.data.map_fns.preference import preference_map_fn
from xtune.serve.engine.questions import Refused


class ByModel(ScriptedEngine):
    """Says for each model what it is told to."""

    def __init__(self, talker, by_model, *, has_odds=True, held=False):
        super().__init__({}, decode=talker.models["base"].decode, held=held)
        self.by_model = by_model
        self._has_odds = has_odds

    def ask(self, questions, on_event):
        (question,) = questions
        if not self._has_odds and question.alternatives is not None:
            raise Refused("logprobs are not told here")
        self._answers = {"": self.by_model[question.model]}
        return super().ask(questions, on_event)


@pytest.fixture
def told(talker):
    """Serves what each model is told to say, as (api, engine)."""
    from contextlib import contextmanager

    @contextmanager
    def serve(by_model, **settings):
        engine = ByModel(talker, by_model, **settings)
        with serving(talker, engine=engine) as api:
            yield api, engine

    return serve


def begin(page, text="Who are you?", **numbers):
    page.wait_for_selector("fieldset.models input")
    if numbers and not page.get_by_label("Seed").is_visible():
        page.get_by_text("Settings", exact=True).click()
    for name, value in numbers.items():
        page.locator(f"#compare-{name}").fill(str(value))
    ask(page, text)


def ask(page, text):
    page.get_by_label("Message to all").fill(text)
    page.get_by_label("Message to all").press("Enter")
    page.get_by_role("button", name="New comparison").wait_for()


def column(page, model):
    return page.get_by_role("region", name=model, exact=True)


def said(page, model, turn=0):
    """A column's answer, without what only a screen reader says."""
    text = column(page, model).locator(".text").nth(turn)
    return text.evaluate("node => node.textContent.replace('First difference: ', '')")


def marked(page, model):
    mark = column(page, model).get_by_role("mark")
    return mark.evaluate("node => node.lastChild.data") if mark.count() else None


def test_each_model_says_what_the_api_says_and_where_they_part_is_marked(api, visit):
    sampling = {"temperature": 0, "max_tokens": 12, "logprobs": True, "top_logprobs": 5}
    answers = {model: chat(api, model=model, **sampling)["choices"][0] for model in ("base", "red")}
    page = visit.open(api, "compare")
    page.get_by_label("blue").uncheck()
    begin(page, max_tokens=12)
    for model, answer in answers.items():
        assert said(page, model) == answer["message"]["content"]
        assert marked(page, model) == answer["logprobs"]["content"][0]["token"]
    assert said(page, "base") == "A parrot."
    assert marked(page, "base") == "A"
    first = answers["base"]["logprobs"]["content"][0]["logprob"]
    row = column(page, "red").get_by_role("row").nth(1)
    assert row.get_by_role("rowheader").inner_text() == "A"
    # the base is nearly sure of what it has learnt, and the other does not think of it
    assert first > -0.1
    shown = row.get_by_role("cell").all_inner_texts()
    assert shown[0] == "–"
    assert float(shown[1].rstrip("%")) == pytest.approx(100 * math.exp(first), abs=0.06)
    assert column(page, "base").get_by_role("table").count() == 0


def test_all_are_asked_alike_and_a_following_turn_has_each_ones_own_answer(told, visit):
    with told({"base": ["Four", "."], "red": ["Fo", "ur!"]}) as (api, engine):
        bodies = []
        visit.context.on(
            "request", lambda r: "/chat/" in r.url and bodies.append(json.loads(r.post_data))
        )
        page = visit.open(api, "compare")
        page.get_by_label("blue").uncheck()
        page.get_by_text("Settings", exact=True).click()
        page.get_by_label("System prompt").fill("Be brief.")
        begin(page, "2 + 2?", temperature=0.5, seed=7, max_tokens=9)
        ask(page, "Sure?")
        system = {"role": "system", "content": "Be brief."}
        first = [system, {"role": "user", "content": "2 + 2?"}]
        second = {"role": "user", "content": "Sure?"}
        expected = [("base", first), ("red", first)] + [
            (model, [*first, {"role": "assistant", "content": text}, second])
            for model, text in (("base", "Four."), ("red", "Four!"))
        ]
        assert [(body["model"], body["messages"]) for body in bodies] == expected
        for body in bodies:
            asked = {name: body[name] for name in ("temperature", "seed", "max_tokens", "stream")}
            assert asked == {"temperature": 0.5, "seed": 7, "max_tokens": 9, "stream": True}
        assert (said(page, "base", 1), said(page, "red", 1)) == ("Four.", "Four!")
        assert column(page, "red").get_by_text("Parts from base at character 5.").count() == 2
        assert page.get_by_label("System prompt").is_disabled()
        page.get_by_role("button", name="New comparison").click()
        assert not page.get_by_label("System prompt").is_disabled()
        assert page.get_by_role("region", name="base").count() == 0


def test_two_answers_are_a_row_of_preference_data(told, visit):
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    with told({"base": ["Four."], "red": ["Fo", "ur!"], "blue": ["Four."]}) as (api, _):
        page = visit.open(api, "compare")
        begin(page, "2 + 2?")

        def copied():
            page.get_by_role("button", name="Copy the row").click()
            page.get_by_role("button", name="Copied").wait_for()
            return json.loads(page.evaluate("navigator.clipboard.readText()"))

        asked = {"role": "user", "content": "2 + 2?"}
        base = {"role": "assistant", "content": "Four."}
        red = {"role": "assistant", "content": "Four!"}
        row = copied()
        assert row == {"prompt": [asked], "chosen": [red], "rejected": [base]}
        assert preference_map_fn(row) == row
        page.get_by_label("Chosen").select_option("blue")
        page.get_by_text("These two say the same: no pair.").wait_for()
        assert page.get_by_role("button", name="Copied").is_disabled()
        page.get_by_label("Rejected").select_option("red")
        ask(page, "Sure?")
        # both dialogues, from where they part: the answers are two turns long
        sure = {"role": "user", "content": "Sure?"}
        row = copied()
        assert row["prompt"] == [asked]
        assert row["chosen"] == [red, sure, red]
        assert preference_map_fn(row) == row


def test_the_same_answer_is_said_to_be_the_same(told, visit):
    with told({"base": ["Four."], "red": ["Fo", "ur."]}) as (api, _):
        page = visit.open(api, "compare")
        page.get_by_label("blue").uncheck()
        begin(page)
        column(page, "red").get_by_text("The same as base.").wait_for()
        assert marked(page, "base") is None
        assert page.get_by_role("button", name="Copy the row").is_disabled()


def test_below_700_pixels_columns_are_tabs_that_arrow_keys_turn(told, new_visit):
    visit = new_visit(viewport={"width": 390, "height": 844})
    with told({"base": ["Four."], "red": ["Five."], "blue": ["Six."]}) as (api, _):
        page = visit.open(api, "compare")
        begin(page)
        tabs = page.get_by_role("tablist", name="Models").get_by_role("tab")
        assert tabs.all_inner_texts() == ["base", "red", "blue"]

        def shown():
            panels = page.get_by_role("tabpanel")
            chosen = [
                tab.inner_text()
                for tab in tabs.all()
                if tab.get_attribute("aria-selected") == "true"
            ]
            assert panels.count() == 1
            assert [panels.get_attribute("aria-label")] == chosen
            return chosen[0]

        assert shown() == "base"
        tabs.first.focus()
        for key, name in [
            ("ArrowRight", "red"),
            ("ArrowRight", "blue"),
            ("ArrowRight", "base"),
            ("ArrowLeft", "blue"),
            ("Home", "base"),
            ("End", "blue"),
        ]:
            page.keyboard.press(key)
            assert shown() == name
            assert page.evaluate("document.activeElement.textContent") == name
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.getAttribute('role')") == "tabpanel"
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.set_viewport_size({"width": 1000, "height": 844})
        page.get_by_role("region", name="red").wait_for()
        assert page.get_by_role("tab").count() == 0


def test_a_model_that_fails_is_said_and_the_message_can_be_sent_again(told, visit):
    with told({"base": ["Four."], "red": [Broke("out of memory")]}) as (api, engine):
        visit.expected = ["500"]
        page = visit.open(api, "compare")
        page.get_by_label("blue").uncheck()
        begin(page, "2 + 2?")
        column(page, "red").get_by_text("out of memory").wait_for()
        assert page.get_by_label("Message to all").input_value() == "2 + 2?"
        assert page.get_by_label("Chosen").count() == 0
        engine.by_model["red"] = ["Five."]
        page.get_by_label("Message to all").press("Enter")
        column(page, "red").get_by_text("Parts from base at character 2.").wait_for()
        assert engine.asked[-1].count("2 + 2?") == 1


def test_stop_frees_all_and_keeps_what_there_is(told, visit):
    with told({"base": ["Fo", "ur."], "red": ["Fi", "ve."]}, held=True) as (api, engine):
        page = visit.open(api, "compare")
        page.get_by_label("blue").uncheck()
        page.wait_for_selector("fieldset.models input")
        page.get_by_label("Message to all").fill("2 + 2?")
        page.get_by_role("button", name="Send to all").click()
        assert eventually(lambda: engine.running == 2)
        page.get_by_role("button", name="Stop").click()
        assert eventually(lambda: engine.running == 0)
        column(page, "red").get_by_text("No answer.").wait_for()
        assert page.get_by_label("Message to all").input_value() == "2 + 2?"
        page.get_by_role("button", name="New comparison").click()
        page.get_by_label("red").uncheck()
        page.get_by_role("button", name="Send to all").click()
        assert eventually(lambda: engine.running == 1)
        engine.let(1)
        column(page, "base").get_by_text("Fo", exact=True).wait_for()
        page.get_by_role("button", name="Stop").click()
        assert eventually(lambda: engine.running == 0)
        page.get_by_role("button", name="New comparison").wait_for()
        assert said(page, "base") == "Fo"


def test_where_no_probabilities_are_told_the_word_is_marked(told, visit):
    answers = {"base": ["It is ", "a dog."], "red": ["It is ", "a cat."]}
    with told(answers, has_odds=False) as (api, _):
        visit.expected = ["400"]
        page = visit.open(api, "compare")
        page.get_by_label("blue").uncheck()
        begin(page)
        assert (marked(page, "base"), marked(page, "red")) == ("dog", "cat")
        assert page.get_by_role("table").count() == 0


def test_what_a_model_says_stays_text(told, visit):
    text = "<img src=x onerror=alert(1)>"
    with told({"base": ["a"], "red": [text]}) as (api, _):
        page = visit.open(api, "compare")
        page.get_by_label("blue").uncheck()
        begin(page)
        assert said(page, "red") == text
        assert page.locator("main img").count() == 0


def test_the_tree_that_a_screen_reader_is_given(told, visit):
    with told({"base": ["It is a dog."], "red": ["It is a cat."], "blue": ["It is"]}) as (api, _):
        page = visit.open(api, "compare")
        begin(page)
        same_as_golden("compare.en", page.locator("main").aria_snapshot())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(api, new_visit, scheme):
    page = new_visit(color_scheme=scheme).open(api, "compare")
    begin(page, max_tokens=6)
    column(page, "red").get_by_role("table").wait_for()
    ratio, text = page.evaluate(CONTRAST)
    assert ratio >= 4.5, text


PARTING = """async () => {
  const { partingPlace, standsAt, odds, preferenceRow } = await import("/page/parting.js");
  const token = (bytes, logprob, top_logprobs = []) => {
    return { token: new TextDecoder().decode(new Uint8Array(bytes)), bytes, logprob, top_logprobs };
  };
  const tokens = [[0xf0, 0x9f], [0xa6, 0x9c], [46]].map((bytes) => token(bytes, 0));
  const inParrot = (at) => standsAt({ text: "🦜.", tokens }, at);
  const word = (text, at) => standsAt({ text, tokens: [] }, at);
  const user = { role: "user", content: "?" };
  const says = (content) => ({ role: "assistant", content });
  const rows = [["a", "a"], ["a", "b"]];
  const places = [["", ""], ["a", "a"], ["ab", "ac"], ["a", "ab"], ["", "b"], ["🦜", "🦝"]];
  return {
    places: places.map(([one, other]) => partingPlace(one, other)),
    words: [word("It is a dog.", 9), word("It is", 5), word("", 0)],
    halves: [inParrot(0), inParrot(2)],
    ended: standsAt({ text: "a", tokens: [token([97], -1), token([60, 47, 115, 62], -2)] }, 1),
    other: standsAt({ text: "thought away", tokens: [token([98], -1)] }, 8),
    odds: odds(
      token([97], Math.log(0.5), [{ token: "b", logprob: Math.log(0.25) }]),
      token([98], Math.log(0.75)),
    ),
    rows: rows.map(([one, other]) => preferenceRow([user, says(one)], [user, says(other)])),
  };
}"""


def test_where_texts_part(api, visit):
    page = visit.open(api, "compare")
    parted = page.evaluate(PARTING)
    assert parted["places"] == [-1, -1, 1, 1, 0, 0]
    ends = [(each["from"], each["to"], each["token"]) for each in parted["words"]]
    assert ends == [(8, 11, None), (5, 5, None), (0, 0, None)]
    # a character of two tokens is marked whole, by the first of them
    halves = [(each["from"], each["to"], each["token"]["bytes"]) for each in parted["halves"]]
    assert halves == [(0, 2, [0xF0, 0x9F]), (2, 3, [46])]
    ended = parted["ended"]
    assert (ended["from"], ended["to"], ended["token"]["token"]) == (1, 1, "</s>")
    assert (parted["other"]["from"], parted["other"]["token"]) == (8, None)
    assert [each["token"] for each in parted["odds"]] == ["b", "a"]
    assert parted["odds"][0]["here"] == pytest.approx(0.25)
    assert parted["odds"][0]["there"] == pytest.approx(0.75)
    assert parted["odds"][1] == {"token": "a", "here": pytest.approx(0.5), "there": None}
    user = {"role": "user", "content": "?"}
    assert parted["rows"][0] is None
    assert parted["rows"][1] == {
        "prompt": [user],
        "chosen": [{"role": "assistant", "content": "a"}],
        "rejected": [{"role": "assistant", "content": "b"}],
    }
