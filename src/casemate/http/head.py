"""The head of a request: parsed by httptools (llhttp), framed by the rules of RFC 9112.

One reading decides both what the handler sees and where the request ends. What leaves room for
two readings is refused.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import httptools

MAX_HEAD_BYTES = 64 << 10
_MAX_HEADERS = 128
_MAX_BODY = 1 << 62


class BadRequest(Exception):
    """A request that cannot be served: an HTTP status and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Head(NamedTuple):
    """A request without its body. Header names are lower case; repeated ones are joined by commas.

    ``length`` is the body's in bytes, None when it is chunked.
    """

    method: str
    target: bytes
    headers: dict[str, str]
    length: int | None
    keep_alive: bool
    #: The client is of HTTP/1.1: it understands chunks, and interim answers.
    modern: bool
    #: The client waits for a word before it sends the body.
    expects: bool


def parse(data: bytes) -> Head:
    """Return the head in ``data``, which ends with its empty line. Raises BadRequest."""
    if data[:1] in (b"\r", b"\n"):
        raise BadRequest(400, "bad request: it begins with an empty line")  # the parser skips them
    if data.partition(b"\r\n")[0].count(b" ") != 2:
        raise BadRequest(400, "bad request: its first line is not three words")  # more pass there
    events = _Events()
    parser = events.parser = httptools.HttpRequestParser(events)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        pass  # the head is whole; what follows is for the handler
    except httptools.HttpParserError as error:
        reason = error.__context__ if isinstance(error.__context__, BadRequest) else None
        raise reason or BadRequest(400, f"bad request: {error}") from None
    if events.heads != 1:
        raise BadRequest(400, "bad request: not one head")
    version = parser.get_http_version()
    if version not in ("1.0", "1.1"):
        raise BadRequest(505, f"HTTP/{version} is not supported: 1.0 and 1.1 are")
    modern = version == "1.1"
    if modern and events.hosts != 1:
        raise BadRequest(400, "bad request: not one Host header")
    return Head(
        method=parser.get_method().decode("ascii"),
        target=events.target,
        headers=events.headers,
        length=_length(events.headers, modern),
        keep_alive=events.keep_alive,
        modern=modern,
        expects=_expects(events.headers) and modern,
    )


def _length(headers: dict[str, str], modern: bool) -> int | None:
    coding = headers.get("transfer-encoding")
    length = headers.get("content-length")
    if coding is not None:
        if not modern or length is not None:
            raise BadRequest(400, "bad request: the length of the body has two meanings")
        if coding.strip().lower() != "chunked":
            raise BadRequest(501, f"transfer coding {coding[:40]!r} is not supported")
        return None
    if length is None:
        return 0
    text = length.strip()
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= _MAX_BODY):
        raise BadRequest(400, "bad request: invalid Content-Length")
    return int(text)


def _expects(headers: dict[str, str]) -> bool:
    expected = headers.get("expect")
    if expected is None:
        return False
    if expected.lower() != "100-continue":
        raise BadRequest(417, f"expectation {expected[:40]!r} cannot be met")
    return True


class _Events:
    """What the parser tells."""

    def __init__(self) -> None:
        self.target = b""
        self.headers: dict[str, str] = {}
        self.heads = 0
        self.hosts = 0
        self.keep_alive = False
        self.parser: Any = None
        self._count = 0

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count += 1
        if self._count > _MAX_HEADERS:
            raise BadRequest(431, f"more than {_MAX_HEADERS} headers")
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1").strip(" \t")
        self.hosts += key == "host"
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        self.heads += 1
        self.keep_alive = self.parser.should_keep_alive()  # behind this it has forgotten
