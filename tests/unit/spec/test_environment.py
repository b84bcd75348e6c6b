"""The environment of a container."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.errors import InvalidArgument
from casemate.spec.environment import DEFAULT_PATH, completed, merged


def test_what_is_asked_for_replaces_what_the_image_says_in_its_place() -> None:
    assert merged(("A=1", "B=2", "C=3"), ("B=x", "D=4")) == ("A=1", "B=x", "C=3", "D=4")


def test_a_bare_name_unsets() -> None:
    assert merged(("A=1", "B=2"), ("A", "Z")) == ("B=2",)
    assert merged(("A=1",), ("A", "A=2")) == ("A=2",)
    assert merged(("A=1",), ("A=2", "A")) == ()


def test_a_value_may_be_empty_and_hold_anything_but_a_nul() -> None:
    assert merged((), ("A=", "B==", "C=a=b\n\x1b\udcff")) == ("A=", "B==", "C=a=b\n\x1b\udcff")


@pytest.mark.parametrize("entry", ["", "=x", "A=a\0b", "A\0=b"])
def test_what_is_no_variable_is_refused(entry: str) -> None:
    for image, asked in (((entry,), ()), ((), (entry,))):
        with pytest.raises(InvalidArgument, match="environment variable"):
            merged(image, asked)


def test_what_is_missing_is_completed() -> None:
    assert completed(("A=1",), hostname="h", home="/root", terminal=True) == (
        f"PATH={DEFAULT_PATH}",
        "HOSTNAME=h",
        "TERM=xterm",
        "A=1",
        "HOME=/root",
    )


def test_what_is_there_stays() -> None:
    env = ("HOME=/x", "PATH=", "TERM=dumb", "HOSTNAME=mine")
    assert completed(env, hostname="h", home="/root", terminal=True) == env


def test_a_host_without_a_name_gets_no_variable() -> None:
    env = completed(("PATH=/bin", "HOME=/"), hostname="", home="/root", terminal=False)
    assert env == ("PATH=/bin", "HOME=/")


ENTRIES = st.lists(
    st.tuples(st.sampled_from("ABC"), st.none() | st.sampled_from(["", "1", "2=3"])), max_size=8
)


@given(ENTRIES, ENTRIES)
def test_merging_is_setting_one_after_the_other(
    image: list[tuple[str, str | None]], asked: list[tuple[str, str | None]]
) -> None:
    expected: dict[str, str] = {}
    for name, value in [*image, *asked]:
        expected.pop(name, None) if value is None else expected.__setitem__(name, value)

    def texts(entries: list[tuple[str, str | None]]) -> tuple[str, ...]:
        return tuple(n if v is None else f"{n}={v}" for n, v in entries)

    got = merged(texts(image), texts(asked))
    assert dict(e.split("=", 1) for e in got) == expected and len(got) == len(expected)
