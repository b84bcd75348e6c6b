"""The project speaks of itself alone."""

from __future__ import annotations

import re

from architecture.sources import ROOT, tracked

#: Paths of the machine on which somebody happens to work.
MACHINE = re.compile(rb"/root/\.\w|/home/[a-z]+/(?!x)|" + re.escape(bytes(ROOT)) + rb"\b")
#: Left over from a merge, or from a thought.
LEFTOVERS = re.compile(rb"^(?:<{7} |>{7} |={7}$)|\b(?:FIXME|HACK)\b", re.M)
#: These hold the patterns.
EXCEPT = {"tests/architecture/test_words.py"}


def texts() -> list[tuple[str, bytes]]:
    """Return the tracked files that are text, with their names."""
    found = []
    for path in tracked():
        name, data = str(path.relative_to(ROOT)), path.read_bytes()
        if b"\0" not in data and name not in EXCEPT:
            found.append((name, data))
    return found


def hits(pattern: re.Pattern[bytes]) -> list[str]:
    """Return where ``pattern`` is found."""
    return [f"{name}: {match[0]!r}" for name, data in texts() for match in pattern.finditer(data)]


def test_no_file_knows_a_machine() -> None:
    assert not hits(MACHINE)


def test_nothing_is_left_over() -> None:
    assert not hits(LEFTOVERS)


def test_text_is_clean() -> None:
    """UTF-8, one newline at the end, no carriage returns, no spaces at the end of code lines."""
    wrong = []
    for name, data in texts():
        data.decode("utf-8")
        if name.endswith((".py", ".c", ".h", ".md", ".toml")):
            if data and (not data.endswith(b"\n") or data.endswith(b"\n\n")):
                wrong.append(f"{name}: its end")
            if b"\r" in data or re.search(rb"[ \t]+\n", data):
                wrong.append(f"{name}: white space")
    assert not wrong
