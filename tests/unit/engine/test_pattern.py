"""Clients' regular expressions: as Python's where both know them, and never slow."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.engine.pattern import Pattern

ATOMS = st.sampled_from(
    ["a", "b", ".", "[ab]", "[^a]", r"\w", r"\d", r"\.", "^", "$", r"\b", "[]a]", r"[\]1-3]", "-"]
)


def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    repeats = st.sampled_from(["*", "+", "?", "*?", "+?", "??", "{2}", "{1,}", "{0,2}", "{2,3}?"])
    return st.one_of(
        st.lists(inner, max_size=4).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda ways: f"({'|'.join(ways)})"),
        st.tuples(inner, repeats).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
    )


@given(st.recursive(ATOMS, larger, max_leaves=8), st.text("ab1.-", max_size=8))
def test_it_finds_what_python_finds(pattern: str, text: str) -> None:
    expected = re.search(pattern.replace("$", r"\Z"), text, re.ASCII) is not None
    assert Pattern(pattern).found_in(text) == expected


@pytest.mark.parametrize(
    "pattern",
    [
        "([0-9a-f]+)+x",
        "(a|a)*" * 100 + "x",
        ".*" * 400 + "x",
        "a?" * 350 + "a" * 300,
        "(((a*)*)*)*x",
        "((((((a*b?)*c?)*d?)*e?)*f?)*g?)*x",
        "((a{0,999}){0,999}){0,999}x",
        "(((a?){999}){999}){999}x",
        "((((a|aa)+b?)+c?)+d?)+x",
    ],
)
def test_no_pattern_takes_long(pattern: str) -> None:
    began = time.process_time()
    assert not Pattern(pattern).found_in("a" * 255)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "pattern",
    [
        *("(", ")", "a)", "[", "*", "+a", "a**", "a{2}{3}", "a{1001}", "a{3,2}", "(?i)a", "(?=a)"),
        *(r"(a)\1", "[b-a]", "\\", "a" * 1001, "(" * 30 + ")" * 30),
    ],
)
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(ValueError):
        Pattern(pattern)


@given(st.text(max_size=40))
def test_any_text_is_a_pattern_or_an_error(text: str) -> None:
    try:
        Pattern(text).found_in("x")
    except ValueError:
        pass
