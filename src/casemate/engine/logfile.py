"""The log that the shim writes: files of JSON lines, the oldest with the highest number.

Source: shim/log.c; the format is that of Docker's json-file.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

_CHUNK = 256 << 10
#: So often the files are looked for anew because they were rotated meanwhile.
_RACES = 100
_HEAD = b'{"log":"'
_STDOUT = b'","stream":"stdout","time":"'
_STDERR = b'","stream":"stderr","time":"'
#: "…Z"} behind the time, which always has nine digits.
_TIME = 30
_TAIL = len(_STDOUT) + _TIME + 2


class Entry(NamedTuple):
    """One entry: a line, or a part of a long one. ``stream`` is 1 or 2, ``time`` RFC 3339."""

    stream: int
    time: str
    data: bytes


def parse(line: bytes) -> Entry | None:
    """Return the entry of one line, None for a line that was cut by a crash."""
    middle = line[-_TAIL : -_TAIL + len(_STDOUT)]
    if not line.startswith(_HEAD) or middle not in (_STDOUT, _STDERR) or line[-2:] != b'"}':
        return None
    body = line[len(_HEAD) : -_TAIL]
    if b"\\" in body:
        try:
            # Bytes that were no UTF-8 are lone surrogates.
            body = json.loads(b'"' + body + b'"').encode("utf-8", "surrogateescape")
        except (ValueError, UnicodeEncodeError):
            return None
    stream = 1 if middle == _STDOUT else 2
    return Entry(stream, line[-_TIME - 2 : -2].decode("ascii", "replace"), body)


class LogReader:
    """Reads a container's log from its beginning on, across rotations.

    Files are held open, so what is rotated away while it is read is still read.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        #: Where the next line begins in the first file. Never inside of a line: what is written of
        #: one when the disk is full is taken back.
        self._offset = 0
        self._files = deque(_open_all(directory))

    def entries(self) -> Iterator[Entry]:
        """Yield what is there and was not yielded yet; can be called again when there is more."""
        while True:
            if not self._files and not self._next_file():
                return
            for line in self._lines(self._files[0]):
                entry = parse(line)
                if entry:
                    yield entry
            if len(self._files) == 1:
                if not self._next_file():
                    return
                continue  # more may have been written to it before it was rotated
            os.close(self._files.popleft())
            self._offset = 0

    def go_to_last(self, lines: int) -> None:
        """Go on with the last ``lines`` lines, before anything was read. Looks at no more."""
        behind: tuple[int, int] | None = None
        for number in range(len(self._files) - 1, -1, -1):
            for offset, line in _backwards(self._files[number]):
                if not lines:
                    self._go_to(number, offset)
                    return
                ends = _ends_line(line)
                if ends is None:
                    continue
                if ends and behind:
                    lines -= 1
                    if not lines:
                        self._go_to(*behind)
                        return
                behind = number, offset

    def _go_to(self, number: int, offset: int) -> None:
        for _ in range(number):
            os.close(self._files.popleft())
        self._offset = offset

    def close(self) -> None:
        """Close the files."""
        while self._files:
            os.close(self._files.popleft())

    def _lines(self, file: int) -> Iterator[bytes]:
        while chunk := os.pread(file, _CHUNK, self._offset):
            *lines, rest = chunk.split(b"\n")
            if not lines:
                return  # one that is being written: a chunk holds any whole one
            self._offset += len(chunk) - len(rest)
            yield from lines

    def _next_file(self) -> bool:
        """Open the files that are newer than the last one; False when there are none."""
        opened = _open_all(self._directory)
        if self._files:
            # When the last one is not among them, more was written than is kept: all are newer.
            last = os.fstat(self._files[-1]).st_ino
            inodes = [os.fstat(file).st_ino for file in opened]
            known = inodes.index(last) + 1 if last in inodes else 0
            for file in opened[:known]:
                os.close(file)
            del opened[:known]
        self._files.extend(opened)
        return bool(opened)


def _open_all(directory: str) -> list[int]:
    """Open the log's files, the oldest first."""
    for attempt in range(1, _RACES + 1):
        opened: dict[int, int] = {}
        newest = _open(directory, 0, opened)
        # A rotation renames the oldest first: what it moves meanwhile is met twice, not missed, and
        # there is one number without a file while it goes on.
        number = missing = 0
        while missing < 2:
            number += 1
            missing = missing + 1 if _open(directory, number, opened) is None else 0
        # After more than one rotation what they moved may be missing. With small files that may go
        # on for ever, and so much is written that what is kept is gone at once anyway.
        if _newest(directory) == newest or attempt == _RACES:
            break
        for file in opened.values():
            os.close(file)
    return [*opened.values()][::-1]


def _open(directory: str, number: int, opened: dict[int, int]) -> int | None:
    """Open a file unless that is done; return its inode, None when there is none."""
    name = f"log.json.{number}" if number else "log.json"
    try:
        file = os.open(f"{directory}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    inode = os.fstat(file).st_ino
    if opened.setdefault(inode, file) != file:
        os.close(file)
    return inode


def _newest(directory: str) -> int | None:
    try:
        return os.stat(f"{directory}/log.json").st_ino
    except FileNotFoundError:
        return None


def _backwards(file: int) -> Iterator[tuple[int, bytes]]:
    """Yield offset and text of every line of ``file``, the last one first.

    The first that is yielded is what follows the last line break: nothing, or a part of a line.
    """
    begin, rest = os.fstat(file).st_size, b""
    while True:
        end, begin = begin, max(0, begin - _CHUNK)
        rest = os.pread(file, end - begin, begin) + rest
        at = begin + len(rest)
        rest, *lines = rest.split(b"\n")
        for line in reversed(lines):
            at -= len(line)
            yield at, line
            at -= 1
        if not begin:
            yield 0, rest
            return


def _ends_line(line: bytes) -> bool | None:
    """Tell whether the entry of ``line`` ends with a line break, None when there is no entry."""
    if parse(line) is None:
        return None
    text = line[len(_HEAD) : -_TAIL]
    before = text.removesuffix(b"\\n")
    # A backslash that is itself escaped belongs to the text, and so does the n behind it.
    return text != before and (len(before) - len(before.rstrip(b"\\"))) % 2 == 0
