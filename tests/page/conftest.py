"""A browser, and pages in it on which nothing may go wrong unseen."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.page.scripted import ScriptedEngine
from tests.serve.conftest import Api, api, serving, talker, talker_folder  # noqa: F401
from tests.serve.runs_server import runs  # noqa: F401

# --no-sandbox: as root, in a container; the rest: no request of the browser's own
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def chromium() -> str | None:
    """Where the browser is: what $XTUNE_CHROMIUM names, or else what is installed."""
    found = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    return os.environ.get("XTUNE_CHROMIUM") or next(filter(None, found), None)


# For the package, not the session: while playwright runs, no other test of this process could
# start an event loop.
@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """One browser for all of these tests."""
    wanted = bool(os.environ.get("XTUNE_CHROMIUM"))
    if not wanted and importlib.util.find_spec("playwright") is None:
        pytest.skip("no playwright: pip install playwright")
    path = chromium()
    if path is None:
        pytest.skip("no Chromium: apt-get install chromium, or name one in $XTUNE_CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class Visit:
    """One reader's browser, with what has gone wrong in it.

    Attributes:
        context: of playwright.
        faults: errors of the console and of pages, and requests that failed.
        hosts: that were asked for anything.
        expected: what may stand in a fault; a test that cuts the server off says so here.
    """

    def __init__(self, context: Any) -> None:
        self.context = context
        self.faults: list[str] = []
        self.hosts: set[str] = set()
        self.expected: list[str] = []
        context.on("console", self._on_console)
        context.on("weberror", lambda error: self.faults.append(f"page: {error.error}"))
        context.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        context.on("requestfailed", self._on_failed)
        context.set_default_timeout(15_000)

    def keep(self, name: str, value: Any, storage: str = "localStorage") -> None:
        """Have pages find a setting that was kept before."""
        text = json.dumps(json.dumps(value))
        # also run where there is no page yet, and no storage
        script = f"if (origin !== 'null') {storage}.setItem('xtune.{name}', {text})"
        self.context.add_init_script(script)

    def open(self, server: Api, view: str = "chat") -> Any:
        """Open the page at a view."""
        page = self.context.new_page()
        page.goto(f"{server.url}/#{view}")
        page.wait_for_selector("main > *")
        if view == "chat":
            page.wait_for_selector("#model option", state="attached")
        return page

    def _on_console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"console: {message.text}")

    def _on_failed(self, request: Any) -> None:
        # a stream that its reader has stopped is no failure
        if request.failure != "net::ERR_ABORTED":
            self.faults.append(f"request: {request.url} {request.failure}")

    def unexpected(self) -> list[str]:
        """What has gone wrong, but for what was to."""
        return [fault for fault in self.faults if not any(each in fault for each in self.expected)]


@pytest.fixture
def new_visit(browser) -> Iterator[Callable[..., Visit]]:
    """Makes visits: new_visit(locale="zh-CN", color_scheme="dark", viewport=…)."""
    visits: list[Visit] = []

    def make(**settings: Any) -> Visit:
        settings.setdefault("locale", "en-US")
        settings.setdefault("reduced_motion", "reduce")
        visit = Visit(browser.new_context(**settings))
        visits.append(visit)
        return visit

    yield make
    for visit in visits:
        visit.context.close()
    for visit in visits:
        assert visit.unexpected() == []
        assert all(host.startswith("127.0.0.1:") for host in visit.hosts)


@pytest.fixture
def visit(new_visit) -> Visit:
    """A visit in English, 1280 pixels wide."""
    return new_visit()


@pytest.fixture
def scripted(talker) -> Callable[..., Any]:  # noqa: F811
    """Serves what a script says: with scripted({"Hi": ["Hel", "lo"]}) as (api, engine)."""

    @contextmanager
    def serve(answers, *, served=talker, held=False, busy=0, **settings):
        decode = talker.models["base"].decode
        engine = ScriptedEngine(answers, decode=decode, held=held, busy=busy)
        with serving(served, engine=engine, **settings) as server:
            yield server, engine

    return serve
