"""One small HTTP client for the tools: bounded in size and time, and careful where it connects.

With `public_only` a host's name is looked up once, all its addresses must be public, and the
connection goes to the address that was checked: a second lookup, which could give another, is never
made. The same holds after each redirect.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from xtune.tools.base import ToolError

__all__ = ["Response", "get_json", "request"]

_REDIRECTS = 5
_MOST_BYTES = 5_000_000
_SECONDS = 15.0


@dataclass(frozen=True)
class Response:
    """What came back.

    Attributes:
        status: such as 200.
        url: the last one, after redirects.
        content_type: such as 'text/html', in small letters.
        body: decompressed, cut at the bound.
        charset: of a text.
    """

    status: int
    url: str
    content_type: str
    body: bytes
    charset: str = "utf-8"

    def text(self) -> str:
        """Return the body as text; what cannot be read is replaced."""
        try:
            return self.body.decode(self.charset, errors="replace")
        except LookupError:
            return self.body.decode(errors="replace")


def request(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    public_only: bool = False,
    allowed_hosts: Collection[str] = (),
    look_up: Callable[..., Any] = socket.getaddrinfo,
) -> Response:
    """Make a request and follow its redirects.

    Args:
        url: http or https.
        method: GET, POST, …; redirects are followed with GET only.
        headers: further ones; not sent to another host after a redirect.
        body: to send.
        public_only: refuse addresses of this machine and of private networks.
        allowed_hosts: 'host' or 'host:port', to which `public_only` does not apply.
        look_up: as `socket.getaddrinfo`.

    Raises:
        ToolError: the address is refused, or there is no answer.
    """
    deadline = time.monotonic() + _SECONDS
    sent = {"User-Agent": "xtune", "Accept-Encoding": "identity", **(headers or {})}
    first_host = None
    for _ in range(_REDIRECTS + 1):
        scheme, host, port, target = _parts(url)
        first_host = first_host or (scheme, host, port)
        if (scheme, host, port) != first_host:
            sent = {"User-Agent": "xtune", "Accept-Encoding": "identity"}
        checked = (
            public_only and host not in allowed_hosts and f"{host}:{port}" not in allowed_hosts
        )
        addresses = _addresses(host, port, checked, look_up)
        try:
            response = _exchange(
                scheme, host, port, addresses, method, target, body, sent, deadline
            )
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ToolError(f"no answer from {host}: {error or type(error).__name__}") from error
        location, answer = response
        if answer.status not in (301, 302, 303, 307, 308) or not location:
            return Response(answer.status, url, answer.content_type, answer.body, answer.charset)
        if method != "GET" and answer.status != 303:
            raise ToolError(
                f"{host} redirects a {method} request to {location[:200]}; not followed"
            )
        method, body, url = "GET", None, urljoin(url, location)
    raise ToolError(f"more than {_REDIRECTS} redirects, the last to {url[:200]}")


def get_json(url: str, *, headers: Mapping[str, str] | None = None, send: Any = None) -> Any:
    """Return the JSON of a GET, or of a POST of `send`.

    Args:
        url: with its query.
        headers: besides ours.
        send: to POST as JSON; None for a GET.

    Raises:
        ToolError: no answer, an error status, or no JSON.
    """
    body = None if send is None else json.dumps(send).encode()
    kind = {} if send is None else {"Content-Type": "application/json"}
    method = "GET" if send is None else "POST"
    response = request(url, method=method, headers={**kind, **(headers or {})}, body=body)
    host = urlsplit(url).netloc
    if response.status >= 400:
        raise ToolError(f"{host} answered {response.status}: {response.text()[:200]}")
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError) as error:
        raise ToolError(f"{host} answered no JSON: {error}") from None


def _parts(url: str) -> tuple[str, str, int, str]:
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ToolError(f"{url[:200]!r} is no address: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ToolError(
            f"{url[:200]!r} is refused: only http:// and https:// addresses are fetched"
        )
    if parts.username is not None:
        raise ToolError("an address with a user name in it is refused")
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    if parts.query:
        target += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?[]")
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80), target


def _addresses(host: str, port: int, checked: bool, look_up: Callable[..., Any]) -> list[str]:
    try:
        found = look_up(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ToolError(f"the host {host[:100]!r} is not found: {error}") from None
    addresses = list(dict.fromkeys(each[4][0] for each in found))
    for address in addresses if checked else ():
        if not _is_public(address):
            raise ToolError(f"{host[:100]} is at {address}, which is not a public address: refused")
    return addresses


def _is_public(address: str) -> bool:
    """Whether an address is on the public internet, also as what it carries inside.

    >>> [_is_public(each) for each in ("8.8.8.8", "10.0.0.1", "::1", "::ffff:127.0.0.1")]
    [True, False, False, False]
    >>> [_is_public(each) for each in ("169.254.169.254", "64:ff9b::a00:1", "2002:7f00:1::")]
    [False, False, False]
    """
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inside = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in ipaddress.ip_network("64:ff9b::/96"):
            inside = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inside is not None:
            return _is_public(str(inside))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _exchange(
    scheme: str,
    host: str,
    port: int,
    addresses: list[str],
    method: str,
    target: str,
    body: bytes | None,
    headers: Mapping[str, str],
    deadline: float,
) -> tuple[str | None, Response]:
    connection = http.client.HTTPConnection(host, port)
    connection.sock = _connected(scheme, host, port, addresses, deadline)
    try:
        named = f"[{host}]" if ":" in host else host
        usual = port == (443 if scheme == "https" else 80)
        addressed = {"Host": named if usual else f"{named}:{port}"}
        connection.request(method, target, body=body, headers={**addressed, **headers})
        answer = connection.getresponse()
        read = bytearray()
        while len(read) < _MOST_BYTES:
            if time.monotonic() > deadline:
                raise TimeoutError(f"not finished after {_SECONDS:g} seconds")
            piece = answer.read1(65536)
            if not piece:
                break
            read += piece
        content = bytes(read[:_MOST_BYTES])
        if answer.headers.get("Content-Encoding", "").lower() in ("gzip", "deflate"):
            try:
                content = zlib.decompressobj(47).decompress(content, _MOST_BYTES)
            except zlib.error as error:
                raise ToolError(f"{host} sent what cannot be decompressed: {error}") from None
        kind = answer.headers.get_content_type()
        charset = answer.headers.get_content_charset() or "utf-8"
        return answer.headers.get("Location"), Response(answer.status, "", kind, content, charset)
    finally:
        connection.close()


def _connected(
    scheme: str, host: str, port: int, addresses: list[str], deadline: float
) -> socket.socket:
    error: OSError = OSError("it has no address")
    for address in addresses:
        try:
            left = max(0.1, deadline - time.monotonic())
            connected = socket.create_connection((address, port), timeout=min(left, 8))
            connected.settimeout(left)
            if scheme == "https":
                context = ssl.create_default_context()
                return context.wrap_socket(connected, server_hostname=host)
            return connected
        except OSError as failed:
            error = failed
    raise error
