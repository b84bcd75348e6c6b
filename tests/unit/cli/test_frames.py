"""Output of several streams on one connection, in whatever pieces it arrives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.cli.frames import Demultiplexer
from casemate.errors import Internal
from unit.cli.fakeengine import frame

frames = st.lists(st.tuples(st.sampled_from([0, 1, 2]), st.binary(max_size=20)))


@given(frames, st.lists(st.integers(1, 9)))
def test_pieces_of_any_size_give_the_same_streams(
    sent: list[tuple[int, bytes]], sizes: list[int]
) -> None:
    data = b"".join(frame(stream, content) for stream, content in sent)
    streams = Demultiplexer()
    seen = {1: b"", 2: b""}
    while data:
        size = sizes.pop() if sizes else len(data)
        for descriptor, piece in streams.feed(data[:size]):
            seen[descriptor] += piece
        data = data[size:]
    assert seen[2] == b"".join(content for stream, content in sent if stream == 2)
    assert seen[1] == b"".join(content for stream, content in sent if stream != 2)


@pytest.mark.parametrize("data", [b"\x04\0\0\0\0\0\0\x01x", b"plain text", frame(3, b"broken")])
def test_what_is_no_frame_is_an_error(data: bytes) -> None:
    with pytest.raises(Internal):
        list(Demultiplexer().feed(data))


@given(st.binary())
def test_any_bytes_are_frames_or_an_error(data: bytes) -> None:
    try:
        list(Demultiplexer().feed(data))
    except Internal:
        pass
