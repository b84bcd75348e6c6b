"""What the kernel's files say of walls, taken apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.engine.wallsight import IdMap, is_hidden, is_readonly, parse_map, parse_status
from casemate.linux.mount import Mount

_ID = st.integers(0, (1 << 32) - 1)


@given(st.lists(st.tuples(_ID, _ID, _ID), max_size=5))
def test_a_map_is_read_as_it_is_printed(lines: list[tuple[int, int, int]]) -> None:
    text = "".join(f"{inside:10} {outside:10} {count:10}\n" for inside, outside, count in lines)
    expected: IdMap = tuple(lines)
    assert parse_map(text) == expected


def test_a_status_is_lines_by_name() -> None:
    text = "Name:\ta: b\nCapEff:\t00000000a80425fb\nno line\nSeccomp:\t2\n"
    assert parse_status(text) == {"Name": "a: b", "CapEff": "00000000a80425fb", "Seccomp": "2"}


@pytest.mark.parametrize(
    ("filesystem", "root", "options", "hidden", "readonly"),
    [
        ("tmpfs", "/null", ("rw",), True, False),
        ("tmpfs", "/", ("ro", "nosuid"), True, True),
        ("tmpfs", "/", ("rw",), False, False),
        ("proc", "/", ("rw",), False, False),
        ("proc", "/sys", ("ro",), False, True),
    ],
)
def test_what_covers_a_path(
    filesystem: str, root: str, options: tuple[str, ...], hidden: bool, readonly: bool
) -> None:
    entry = Mount(2, 1, "0:1", root, "/proc/x", options, (), filesystem, "x", ("rw",))
    assert (is_hidden(entry), is_readonly(entry)) == (hidden, readonly)
