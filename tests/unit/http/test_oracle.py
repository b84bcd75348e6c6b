"""What the server understands is what h11 understands, for requests whole, cut up and broken."""

from __future__ import annotations

import itertools
from urllib.parse import unquote

import h11
from hypothesis import example, given, settings
from hypothesis import strategies as st

from unit.http.serving import Seen, exchanged, recording, run

TOKEN = st.text("abcXYZ09-_.!", min_size=1, max_size=12)
VALUE = st.text("abc 09;=\t\"'/,:", max_size=20).map(str.strip)
PATH = st.text("abc/0~-._%41", max_size=12).map(lambda p: "/" + p)
SAFE = st.binary(max_size=300)


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    """Return ``body`` in chunks of any size."""
    out = b""
    while body:
        size = draw(st.integers(1, len(body)))
        extension = draw(st.sampled_from([b"", b";a=b", b"; x"]))
        case = draw(st.sampled_from([b"%x", b"%X", b"0%x"]))
        out += case % size + extension + b"\r\n" + body[:size] + b"\r\n"
        body = body[size:]
    trailer = draw(st.sampled_from([b"", b"X-Sum: 1\r\n"]))
    return out + b"0\r\n" + trailer + b"\r\n"


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Return a request that is right."""
    method = draw(st.sampled_from([b"GET", b"POST", b"PUT", b"HEAD", b"DELETE"]))
    head = method + b" " + draw(PATH).encode() + b" HTTP/1.1\r\nHost: " + draw(TOKEN).encode()
    for name, value in draw(st.lists(st.tuples(TOKEN, VALUE), max_size=4)):
        head += f"\r\nX-{name}:{value}".encode()
    body = draw(SAFE)
    framing = draw(st.sampled_from(["none", "length", "chunks"]))
    if framing == "length":
        return head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    if framing == "chunks":
        return head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + draw(chunked(body))
    return head + b"\r\n\r\n"


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """Return requests of which some bytes are others, missing or too many."""
    data = bytearray(b"".join(draw(st.lists(requests(), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        piece = draw(
            st.sampled_from(
                [
                    *(
                        b"",
                        b"\n",
                        b"\r",
                        b"\r\n",
                        b"\r\n\r\n",
                        b"\0",
                        b" ",
                        b"\t",
                        b":",
                        b",",
                        b";",
                    ),
                    *(b"0", b"-", b"+", b"f", b"\xff", b"HTTP/1.0", b"Content-Length: 5\r\n"),
                    *(b"Transfer-Encoding: chunked\r\n", b"Host: y\r\n", b"Connection: close\r\n"),
                ]
            )
        )
        data[at : at + draw(st.integers(0, 4))] = piece
    return bytes(data)


def by_h11(data: bytes) -> tuple[Seen, bool]:
    """Return the requests that h11 finds in ``data``, and whether it found nothing wrong."""
    seen: Seen = []
    try:
        while True:
            # An empty line in front of a request is to be ignored, says RFC 9112; h11 does not.
            connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 16)
            connection.receive_data(data.removeprefix(b"\r\n"))
            found = one_by_h11(connection)
            if not found:
                return seen, True
            seen.append(found)
            connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE:
                return seen, True
            data = connection.trailing_data[0]
    except (h11.RemoteProtocolError, h11.LocalProtocolError):
        return seen, False


def one_by_h11(connection: h11.Connection) -> tuple[str, str, bytes] | None:
    """Return the next request, None when it is not all there."""
    request = connection.next_event()
    if not isinstance(request, h11.Request):
        return None
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    if not isinstance(event, h11.EndOfMessage):
        return None
    return request.method.decode(), request.target.decode("latin-1").partition("?")[0], body


def by_us(data: bytes, cuts: list[int]) -> tuple[Seen, bytes]:
    """Return the requests that our server finds in ``data``, cut up, and what it says."""
    seen: Seen = []
    edges = sorted({0, len(data), *(c for c in cuts if c < len(data))})
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]

    async def work() -> bytes:
        return await exchanged(recording(seen), *pieces)

    return seen, run(work())


def unquoted(seen: Seen) -> Seen:
    """Return ``seen`` with paths decoded, as our handlers get them."""
    return [(m, unquote(p), b) for m, p, b in seen]


CUTS = st.lists(st.integers(0, 2000), max_size=5)


@settings(max_examples=250, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=4), CUTS)
def test_right_requests_are_understood_however_they_arrive(
    pipeline: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(pipeline)
    expected, right = by_h11(data)
    assert right and len(expected) == len(pipeline)
    seen, said = by_us(data, cuts)
    assert seen == unquoted(expected)
    assert said.count(b"HTTP/1.1 200 OK") == len(pipeline)


@settings(max_examples=600, deadline=None)
@given(broken(), CUTS)
@example(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", [])
@example(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", [])
@example(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", [])
@example(
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", []
)
@example(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n", [])
@example(b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [])
def test_what_is_wrong_is_never_understood_otherwise(data: bytes, cuts: list[int]) -> None:
    expected, _ = by_h11(data)
    seen, said = by_us(data, cuts)
    # Fewer may be understood, for we are the stricter one; none may be understood differently.
    assert seen == unquoted(expected)[: len(seen)]
    assert said.count(b"HTTP/1.1 200 OK") == len(seen)
