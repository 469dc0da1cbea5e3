"""The HTTP client and `fetch`: bounds, redirects, and addresses that must not be reached."""

from __future__ import annotations

import gzip
import socket

import pytest

from tests.tools.web_server import serving
from xtune.tools.base import ToolError
from xtune.tools.fetch import Fetch
from xtune.tools.page_text import page_text
from xtune.tools.web import _is_public, get_json, request

PAGE = (
    "<html><head><title>Fjords &amp; more</title><style>p {}</style></head><body><nav>Home</nav>"
    "<h1>A fjord</h1><p>is a <b>long</b> inlet.<br>Deep.</p><script>steal()</script>"
    "<table><tr><td>Sogn<td>205 km</table><ul><li>one<li>two</ul></body></html>"
)


def host_of(url):
    return url.removeprefix("http://")


def test_a_page_becomes_its_text():
    assert page_text(PAGE) == (
        "Fjords & more\n\nHome\nA fjord\nis a long inlet.\nDeep.\n| Sogn | 205 km\none\ntwo"
    )
    assert page_text("<p>never <b>closed <script>x") == "never closed"


def test_fetch_reads_a_page_and_reads_on():
    with serving(lambda asked: (200, {"Content-Type": "text/html"}, PAGE)) as (url, asked):
        fetch = Fetch(allow_hosts=[host_of(url)])
        assert fetch(f"{url}/a b?q=ø").startswith("Fjords & more\n\nHome")
        assert asked[0].path == "/a%20b"
        assert asked[0].query == {"q": ["ø"]}
        assert asked[0].headers["host"] == host_of(url)
    long = "".join(f"{n:06d} " for n in range(1000))
    with serving(lambda asked: (200, {"Content-Type": "text/plain"}, long)) as (url, _):
        fetch = Fetch(allow_hosts=["127.0.0.1"])
        first = fetch(url)
        assert first.endswith("\n[3500 more characters: start=3500]")
        assert first[:3500] + fetch(url, 3500) == long


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((404, {}, ""), "answered 404"),
        ((200, {"Content-Type": "image/png"}, b"\x89PNG"), "is image/png, which is no text"),
        ((200, {"Content-Type": "application/pdf"}, b"no pdf"), "cannot be read"),
        ((302, {"Location": "/again"}, ""), "more than 5 redirects"),
        ((302, {"Location": "file:///etc/passwd"}, ""), "http:// and https://"),
        ((302, {"Location": "http://169.254.169.254/latest/meta-data"}, ""), "not a public"),
        ((302, {"Location": "http://localhost:1/"}, ""), "not a public address"),
    ],
)
def test_what_fetch_refuses(answer, said):
    with serving(lambda asked: answer) as (url, _), pytest.raises(ToolError, match=said):
        Fetch(allow_hosts=[host_of(url)])(url)


def test_a_redirect_to_a_private_address_is_never_followed():
    with (
        serving(lambda asked: (200, {"Content-Type": "text/plain"}, "secret")) as (inner, reached),
        serving(lambda asked: (307, {"Location": inner}, "")) as (outer, _),
    ):
        with pytest.raises(ToolError, match="not a public address"):
            Fetch(allow_hosts=[host_of(outer)])(outer)
        assert reached == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost:8080/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://0.0.0.0/",
        "http://10.1.2.3/",
        "http://192.168.1.1/",
        "http://172.16.0.1/",
        "http://169.254.169.254/",
        "http://100.64.0.1/",
        "http://224.0.0.1/",
        "http://①②⑦.⓪.⓪.①/",
        "http://user@127.0.0.1/",
        "http://127.0.0.1:99999/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "//127.0.0.1/",
        "",
    ],
)
def test_private_addresses_are_refused_however_they_are_written(url):
    with pytest.raises(ToolError, match="not a public address|refused|is no address|not found"):
        Fetch()(url)


def test_addresses_that_carry_a_private_one_are_private():
    private = ["64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:0:0:0:0:80ff:fffe", "fe80::1%eth0"]
    assert [_is_public(address) for address in private] == [False] * 4
    assert [_is_public(address) for address in ("8.8.8.8", "2606:4700::1111")] == [True, True]


def test_the_name_is_looked_up_once_and_the_checked_address_is_connected_to():
    # A name server that gives a good address first and a private one from then on
    answers = ["127.0.0.1", "10.0.0.1", "10.0.0.1"]
    looked_up = []

    def look_up(host, port, **_):
        looked_up.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers[len(looked_up) - 1], port))]

    with serving(lambda asked: (200, {}, "hei")) as (url, asked):
        port = url.rsplit(":", 1)[1]
        response = request(
            f"http://rebinding.test:{port}/",
            public_only=True,
            allowed_hosts=["rebinding.test"],
            look_up=look_up,
        )
    assert response.text() == "hei"
    assert asked[0].headers["host"] == f"rebinding.test:{port}"
    assert looked_up == ["rebinding.test"]
    with pytest.raises(ToolError, match="is at 10.0.0.1, which is not a public address"):
        request("http://rebinding.test/", public_only=True, look_up=look_up)


def test_one_private_address_among_public_ones_is_enough_to_refuse():
    def look_up(host, port, **_):
        return [(0, 0, 0, "", (address, port)) for address in ("8.8.8.8", "127.0.0.1")]

    with pytest.raises(ToolError, match=r"is at 127\.0\.0\.1"):
        request("http://both.test/", public_only=True, look_up=look_up)


def test_an_endless_and_a_compressed_flood_are_cut():
    flood = b"x" * 7_000_000
    packed = gzip.compress(b"y" * 50_000_000)
    with serving(lambda asked: (200, {}, flood)) as (url, _):
        assert len(request(url).body) == 5_000_000
    with serving(lambda asked: (200, {"Content-Encoding": "gzip"}, packed)) as (url, _):
        assert request(url).body == b"y" * 5_000_000


def test_keys_do_not_follow_a_redirect_to_another_host():
    with (
        serving(lambda asked: (200, {}, {})) as (other, reached),
        serving(lambda asked: (302, {"Location": other}, "")) as (url, asked),
    ):
        get_json(url, headers={"X-API-KEY": "secret"})
    assert asked[0].headers["x-api-key"] == "secret"
    assert "x-api-key" not in reached[0].headers


def test_what_is_no_answer_is_said():
    with (
        serving(lambda asked: (200, {}, "no json")) as (url, _),
        pytest.raises(ToolError, match="answered no JSON"),
    ):
        get_json(url)
    with pytest.raises(ToolError, match="no answer from 127.0.0.1"):
        get_json(url)  # nobody is there any more
    with (
        serving(lambda asked: (403, {}, "no key")) as (url, _),
        pytest.raises(ToolError, match="answered 403: no key"),
    ):
        get_json(url)
