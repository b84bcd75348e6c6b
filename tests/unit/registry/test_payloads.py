"""Chunked bodies: what another implementation writes is read; nonsense is refused."""

from __future__ import annotations

import http.client
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.registry.payloads import ChunkedPayload, PlainPayload


def read(data: bytes, step: int = 7) -> tuple[bytes, bytes]:
    """Return the body in ``data`` and what is left after it."""
    source = io.BytesIO(data)
    reader = ChunkedPayload(source)
    view = memoryview(bytearray(step))
    found = b""
    while count := reader.readinto(view):
        found += view[:count]
    assert reader.ended
    return found, source.read()


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.integers(1, 50))
def test_chunks_are_joined_and_what_follows_is_left(pieces: list[bytes], step: int) -> None:
    data = b"".join(b"%x;a=b\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    assert read(data + b"0\r\nTrailer: x\r\n\r\nnext", step) == (b"".join(pieces), b"next")


@pytest.mark.parametrize(
    "data",
    [b"", b"5", b"\r\n", b"-1\r\nabc", b"+1\r\na\r\n0\r\n\r\n", b"0x1\r\na\r\n0\r\n\r\n",
     b"1_0\r\n", b" 1\r\na", b"g\r\n", b"1\r\nab\r\n0\r\n\r\n", b"5\r\nabc", b"0\r\n",
     b"f" * 16 + b"\r\n", b"1;" + b"x" * 5000 + b"\r\na\r\n0\r\n\r\n"],
)  # fmt: skip
def test_nonsense_is_refused(data: bytes) -> None:
    with pytest.raises(http.client.HTTPException):
        read(data)


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text("0123456789abcdef;\r\n-", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        found, _ = read(data)
    except http.client.HTTPException:
        return
    assert len(found) <= len(data)


def test_a_body_of_known_size_leaves_what_follows() -> None:
    source = io.BytesIO(b"bodynext")
    payload = PlainPayload(source, 4)
    view = memoryview(bytearray(100))
    assert (payload.readinto(view), payload.ended) == (4, True)
    assert payload.readinto(view) == 0
    assert source.read() == b"next"


def test_a_body_that_ends_early_is_incomplete() -> None:
    payload = PlainPayload(io.BytesIO(b"bod"), 4)
    view = memoryview(bytearray(100))
    assert payload.readinto(view) == 3
    with pytest.raises(http.client.IncompleteRead):
        payload.readinto(view)
    assert not payload.ended


def test_a_body_of_unknown_size_ends_with_its_connection() -> None:
    payload = PlainPayload(io.BytesIO(b"body"), None)
    view = memoryview(bytearray(100))
    assert (payload.readinto(view), payload.ended) == (4, False)
    assert (payload.readinto(view), payload.ended) == (0, True)
