"""The log that the supervisor writes, read back."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from casemate.engine.logfile import Entry, LogReader, parse

TIME = "2026-11-24T01:02:03.123456789Z"


def line(data: bytes, stream: int = 1) -> bytes:
    """Return a line as shim/log.c writes it."""
    name = "stdout" if stream == 1 else "stderr"
    text = json.dumps(data.decode("utf-8", "surrogateescape"))[1:-1]
    return f'{{"log":"{text}","stream":"{name}","time":"{TIME}"}}'.encode()


@given(st.binary(max_size=200), st.sampled_from([1, 2]))
def test_what_was_written_is_read(data: bytes, stream: int) -> None:
    assert parse(line(data, stream)) == Entry(stream, TIME, data)


@given(st.binary(max_size=200))
def test_any_other_line_is_passed_over_or_read(data: bytes) -> None:
    parse(data)
    parse(line(b"x")[: len(data)])
    parse(b'{"log":"' + data + b'","stream":"stdout","time":"' + TIME.encode() + b'"}')


def test_a_line_that_a_crash_cut_is_passed_over(tmp_path: Path) -> None:
    whole = line(b"one\n") + b"\n" + line(b"two\n")[:-10] + b"\n" + line(b"three\n") + b"\n"
    (tmp_path / "log.json").write_bytes(whole)
    assert [e.data for e in _read(tmp_path)] == [b"one\n", b"three\n"]


def test_files_are_read_from_the_oldest_on(tmp_path: Path) -> None:
    for number, text in ((2, b"1\n"), (1, b"2\n"), (0, b"3\n")):
        name = f"log.json.{number}" if number else "log.json"
        (tmp_path / name).write_bytes(line(text) + b"\n")
    (tmp_path / "log.json.old").write_bytes(line(b"not ours") + b"\n")
    assert b"".join(e.data for e in _read(tmp_path)) == b"1\n2\n3\n"


def test_reading_goes_on_over_rotations(tmp_path: Path) -> None:
    log = tmp_path / "log.json"
    log.write_bytes(line(b"1\n") + b"\n")
    reader = LogReader(str(tmp_path))
    assert [e.data for e in reader.entries()] == [b"1\n"]
    with log.open("ab") as file:
        file.write(line(b"2\n") + b"\n" + line(b"3\n")[:5])
    assert [e.data for e in reader.entries()] == [b"2\n"]
    with log.open("ab") as file:
        file.write(line(b"3\n")[5:] + b"\n")
    os.rename(log, tmp_path / "log.json.1")
    log.write_bytes(line(b"4\n") + b"\n")
    assert [e.data for e in reader.entries()] == [b"3\n", b"4\n"]
    reader.close()


def test_what_is_taken_back_of_a_line_is_not_a_part_of_the_next(tmp_path: Path) -> None:
    """A full disk: the supervisor has written a part of an entry, and cuts it off again."""
    log = tmp_path / "log.json"
    log.write_bytes(line(b"1\n") + b"\n" + line(b"never\n")[:20])
    reader = LogReader(str(tmp_path))
    assert [e.data for e in reader.entries()] == [b"1\n"]
    os.truncate(log, len(line(b"1\n")) + 1)
    with log.open("ab") as file:
        file.write(line(b"2\n") + b"\n")
    assert [e.data for e in reader.entries()] == [b"2\n"]
    reader.close()


PIECES = st.sampled_from([b"a\n", b"b", b"c\n", b"\\n", b"\\\n", b"\\", b"\n", None])


@given(st.lists(PIECES, max_size=30), st.integers(0, 12), st.integers(0, 30), st.booleans())
def test_the_last_lines_are_whole_lines(
    pieces: list[bytes | None], count: int, rotated: int, cut: bool
) -> None:
    """In two files, with lines that a crash has cut (None), and one that is being written."""
    said = b"".join(piece for piece in pieces if piece is not None)
    lines = said.splitlines(keepends=True)
    with tempfile.TemporaryDirectory() as place:
        for name, part in (("log.json.1", pieces[:rotated]), ("log.json", pieces[rotated:])):
            texts = [line(b"cut")[:9] if piece is None else line(piece) for piece in part]
            end = line(b"z\n")[:-3] if cut and name == "log.json" else b""
            Path(place, name).write_bytes(b"".join(text + b"\n" for text in texts) + end)
        reader = LogReader(place)
        reader.go_to_last(count)
        found = b"".join(entry.data for entry in reader.entries())
        with Path(place, "log.json").open("ab") as log:
            log.write(line(b"z\n")[-3:] + b"\n" if cut else line(b"z\n") + b"\n")
        more = b"".join(entry.data for entry in reader.entries())
        reader.close()
    assert found == b"".join(lines[len(lines) - min(count, len(lines)) :])
    assert more == b"z\n"


def test_the_last_line_is_found_without_reading_the_others(tmp_path: Path) -> None:
    with (tmp_path / "log.json").open("wb") as log:
        log.truncate(1 << 40)  # nobody reads this much
        log.seek(1 << 40)
        log.write(b"\n" + line(b"one\n") + b"\n" + line(b"two\n") + b"\n" + line(b"three") + b"\n")
    reader = LogReader(str(tmp_path))
    reader.go_to_last(2)
    assert [entry.data for entry in reader.entries()] == [b"two\n", b"three"]
    reader.close()


def _read(directory: Path) -> list[Entry]:
    reader = LogReader(str(directory))
    try:
        return list(reader.entries())
    finally:
        reader.close()
