"""Docker's stream framing."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from casemate.http.framing import Demultiplexer, frame

PIECES = st.lists(st.tuples(st.sampled_from([0, 1, 2, 3]), st.binary(max_size=50)), max_size=10)


@given(PIECES, st.lists(st.integers(0, 600), max_size=8))
def test_frames_come_apart_however_they_arrive(
    pieces: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    data = b"".join(frame(stream, len(text)) + text for stream, text in pieces)
    edges = [0, *sorted(c for c in cuts if c < len(data)), len(data)]
    demultiplexer = Demultiplexer()
    out: dict[int, bytes] = {}
    for start, end in itertools.pairwise(edges):
        for stream, text in demultiplexer.feed(data[start:end]):
            out[stream] = out.get(stream, b"") + text
    expected: dict[int, bytes] = {}
    for stream, text in pieces:
        if text:
            expected[stream] = expected.get(stream, b"") + text
    assert out == expected


def test_data_is_given_before_its_frame_is_whole() -> None:
    demultiplexer = Demultiplexer()
    assert list(demultiplexer.feed(frame(1, 1 << 30) + b"abc")) == [(1, b"abc")]
    assert list(demultiplexer.feed(b"def")) == [(1, b"def")]


def test_an_empty_frame_says_nothing() -> None:
    demultiplexer = Demultiplexer()
    assert list(demultiplexer.feed(frame(2, 0) + frame(1, 1) + b"x")) == [(1, b"x")]
