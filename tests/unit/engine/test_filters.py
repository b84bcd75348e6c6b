"""Patterns of references: as Go's path.Match, and never slow."""

from __future__ import annotations

import fnmatch
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.engine.imagefilters import _pattern
from casemate.errors import InvalidArgument


@given(st.text("ab*?", max_size=10), st.text("ab", max_size=10))
def test_without_slashes_it_is_a_shell_pattern(pattern: str, name: str) -> None:
    assert bool(_pattern(pattern).fullmatch(name)) == fnmatch.fnmatchcase(name, pattern)


@given(st.text("ab*/", max_size=10), st.text("ab/", max_size=10))
def test_a_star_stops_at_a_slash(pattern: str, name: str) -> None:
    parts, wanted = name.split("/"), pattern.split("/")
    expected = len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))
    assert bool(_pattern(pattern).fullmatch(name)) == expected


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("[a-c]x", "bx", True),
        ("[^a-c]x", "bx", False),
        ("[^a-c]x", "dx", True),
        ("a[", "a[", True),
        ("a.b", "axb", False),
        ("[]", "[]", True),
    ],
)
def test_classes(pattern: str, name: str, expected: bool) -> None:
    assert bool(_pattern(pattern).fullmatch(name)) == expected


def test_no_pattern_takes_long() -> None:
    began = time.process_time()
    assert not _pattern("a*" * 400).fullmatch("a" * 255 + "b" * 255)
    assert not _pattern("*a" * 400 + "c").fullmatch("a" * 510)
    assert time.process_time() - began < 1


@given(st.text(max_size=40))
def test_any_text_is_a_pattern_or_an_error(text: str) -> None:
    try:
        _pattern(text).fullmatch("x")
    except InvalidArgument:
        pass


def test_a_pattern_is_bounded() -> None:
    with pytest.raises(InvalidArgument, match="longer than"):
        _pattern("a" * 1001)
