"""The page's files, its policy, its frame, and its two languages."""

from __future__ import annotations

import gzip
import http.client
import json
import re

from tests.serve.conftest import serving
from xtune.serve.page.files import POLICY, STATIC

LARGEST = 100_000  # bytes, of all files together, as they are sent
FILES = sorted(path for path in STATIC.rglob("*") if path.is_file())


def ask(api, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, dict(response.headers), body


def test_all_files_together_are_small_and_sent_as_they_stand(api):
    sent = 0
    for path in FILES:
        name = f"/page/{path.relative_to(STATIC)}"
        status, headers, body = ask(api, name, **{"Accept-Encoding": "gzip"})
        assert (status, gzip.decompress(body)) == (200, path.read_bytes())
        assert headers["content-security-policy"] == POLICY
        sent += len(body)
        status, headers, plain = ask(api, name)
        assert plain == path.read_bytes()
        assert ask(api, name, **{"If-None-Match": headers["etag"]})[::2] == (304, b"")
        assert ask(api, name, method="HEAD")[::2] == (200, b"")
    assert sent < LARGEST
    kinds = [
        ask(api, f"/page/{name}")[1]["content-type"] for name in ("main.js", "page.css", "icon.svg")
    ]
    assert kinds == ["text/javascript; charset=utf-8", "text/css; charset=utf-8", "image/svg+xml"]


def test_no_spelling_of_a_path_leads_out_of_the_folder(api):
    for name in (
        "../files.py",
        "%2e%2e/files.py",
        "..%2ffiles.py",
        "views",
        "",
        "/etc/passwd",
        "\\",
        "%00",
    ):
        assert ask(api, f"/page/{name}")[0] == 404
    assert ask(api, "/page/main.js", method="POST")[0] == 405


def test_the_files_need_no_key_and_what_they_ask_for_does(talker):
    with serving(talker, keys=["secret"]) as api:
        assert ask(api, "/")[0] == 200
        assert ask(api, "/page/main.js")[0] == 200
        assert ask(api, "/page/../xtune/models")[0] == 404
        for path in ("/xtune/models", "/pages", "//page/main.js", "/xtune/models?/page/"):
            assert ask(api, path)[0] == 401


def test_what_is_told_of_the_models(api):
    models = json.loads(ask(api, "/xtune/models")[2])["models"]
    assert models == [
        {
            "id": name,
            "adapter": name != "base",
            "system": "",
            "room": 2048,
            "calls": True,
            "tools": False,
        }
        for name in ("base", "red", "blue")
    ]


def test_nothing_is_fetched_from_elsewhere_and_nothing_is_run_that_is_no_file(api):
    for path in FILES:
        text = path.read_text("utf-8")
        assert set(re.findall(r"https?://[^\s\"'`)\[]+", text)) <= {"http://www.w3.org/2000/svg"}
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|new Function", text
        )
        if path.suffix == ".html":
            assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]* src=)", text)


KEYS = """async () => {
  const values = (text) => (text.match(/\\{\\w+\\}/g) ?? []).sort().join();
  const flat = (words, at) => Object.entries(words).flatMap(([name, text]) =>
    typeof text === "string" ? [[at + name, values(text)]] : flat(text, `${at}${name}.`));
  const of = async (language) =>
    Object.fromEntries(flat((await import(`/page/words/${language}.js`)).default, ""));
  return [await of("en"), await of("zh")];
}"""


def test_both_languages_have_all_texts_and_none_is_unused(api, visit):
    english, chinese = visit.open(api).evaluate(KEYS)
    assert english == chinese
    code = "\n".join(path.read_text("utf-8") for path in FILES if path.suffix == ".js")
    used = set(re.findall(r"\bt\(\s*\"([\w.]+)\"", code)) | set(re.findall(r"\"(\w+\.\w+)\"", code))
    begun = re.findall(r"\bt\(`([\w.]*)\$\{", code)
    ended = re.findall(r"\bt\(`\$\{\w+\}([\w.]+)`", code)
    missing = set(re.findall(r"\bt\(\s*\"([\w.]+)\"", code)) - set(english)
    assert missing == set()
    assert [
        key
        for key in english
        if key not in used
        and not any(begin and key.startswith(begin) for begin in begun)
        and not any(key.endswith(end) for end in ended)
    ] == []


def test_the_language_is_the_browsers_until_another_is_chosen(api, new_visit):
    page = new_visit(locale="zh-CN").open(api)
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    page.get_by_role("heading", name="对话", exact=True).wait_for()
    page.get_by_role("button", name="English").click()
    page.get_by_role("heading", name="Chat").wait_for()
    page.reload()
    page.get_by_role("heading", name="Chat").wait_for()
    assert page.title() == "Chat · xtune"


def test_an_unknown_view_is_the_first(api, visit):
    page = visit.open(api, "nothing")
    page.get_by_role("heading", name="Chat").wait_for()
    assert page.get_by_role("link", name="Chat").get_attribute("aria-current") == "page"
