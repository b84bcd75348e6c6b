"""Header readers: what the grammar allows is read, everything else is refused or ignored."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.errors import InvalidArgument
from casemate.registry import headers
from casemate.registry.headers import Challenge

TOKENS = st.text(
    "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789!#$%&'*+.^_`|~-", min_size=1, max_size=9
)
TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Basic", [("basic", {})]),
        ('Basic realm="x"', [("basic", {"realm": "x"})]),
        ("Basic realm=x", [("basic", {"realm": "x"})]),
        ('Basic realm = "x" , charset="UTF-8"', [("basic", {"realm": "x", "charset": "UTF-8"})]),
        (
            'Bearer realm="https://auth.example/token",service="r",scope="repository:a/b:pull,push"',
            [
                (
                    "bearer",
                    {
                        "realm": "https://auth.example/token",
                        "service": "r",
                        "scope": "repository:a/b:pull,push",
                    },
                )
            ],
        ),
        ('BEARER REALM="x"', [("bearer", {"realm": "x"})]),
        ('Basic realm="a\\"b\\\\c, d"', [("basic", {"realm": 'a"b\\c, d'})]),
        (
            'Negotiate, Basic realm="x", Bearer realm="y",service="z"',
            [
                ("negotiate", {}),
                ("basic", {"realm": "x"}),
                ("bearer", {"realm": "y", "service": "z"}),
            ],
        ),
        ("Negotiate YWJj==, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        (', ,Basic realm=""', [("basic", {"realm": ""})]),
        ("", []),
    ],
)
def test_challenges_are_read(value: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert headers.challenges([value]) == [Challenge(*pair) for pair in expected]


@pytest.mark.parametrize(
    "value",
    [
        'Basic realm="x',
        "=",
        'Basic realm="x" realm="y"',
        'Basic realm="x",realm="y"',
        'Basic realm="x" junk',
        "Basic \x7f",
        "Basic some words here",
        'Basic realm="a\nb"',
        "Bas(ic",
        "B " + "a=b," * 33,
        "B," * 17,
        "x" * 8193,
    ],
)
def test_malformed_challenges_are_refused(value: str) -> None:
    with pytest.raises(InvalidArgument):
        headers.challenges([value])


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(TOKENS, st.dictionaries(TOKENS.map(str.lower), TEXTS, min_size=1, max_size=4)),
        max_size=4,
    )
)
def test_what_is_written_by_the_grammar_is_read_back(
    wanted: list[tuple[str, dict[str, str]]],
) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    value = ", ".join(
        f"{scheme} " + ", ".join(f"{key}={quoted(text)}" for key, text in found.items())
        for scheme, found in wanted
    )
    assert headers.challenges([value]) == [
        Challenge(scheme.lower(), found) for scheme, found in wanted
    ]


@settings(deadline=None)
@given(st.text(max_size=200) | st.text('Bearer realm=",\\ \t=x', max_size=200))
def test_any_challenge_is_read_or_refused(value: str) -> None:
    try:
        found = headers.challenges([value])
    except InvalidArgument:
        return
    assert len(found) <= 16


@settings(deadline=None)
@given(st.integers(1, 4000), st.sampled_from(['a="', "a=b ", '\\"', "a,", "Basic ", '="', "\t"]))
def test_a_long_challenge_takes_no_long_time(count: int, piece: str) -> None:
    begun = time.process_time()
    try:
        headers.challenges([(piece * count)[:8192]])
    except InvalidArgument:
        pass
    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0", 0.0), (" 120 ", 120.0), (None, None), ("", None), ("soon", None), ("-1", None),
     ("9" * 20, 1e9), ("9" * 80, None), ("٣", None), ("Wed, 99 Foo 2020", None)],
)  # fmt: skip
def test_retry_after_is_seconds_or_nothing(value: str | None, expected: float | None) -> None:
    assert headers.retry_after_s(value) == expected


def test_retry_after_may_be_a_date() -> None:
    found = headers.retry_after_s(formatdate(time.time() + 100, usegmt=True))
    assert found is not None
    assert 90 < found < 101
    assert headers.retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_retry_after_is_a_sensible_number_or_none(value: str) -> None:
    found = headers.retry_after_s(value)
    assert found is None or found >= 0


@settings(deadline=None)
@given(st.integers(0, 10**17), st.integers(1, 10**17), st.booleans())
def test_a_content_range_is_read_back(first: int, count: int, known: bool) -> None:
    last = first + count - 1
    size = last + 1 if known else None
    shown = "*" if size is None else size
    assert headers.content_range(f"bytes {first}-{last}/{shown}") == (first, last, size)


@pytest.mark.parametrize(
    "value",
    [None, "", "bytes 5-4/10", "bytes 0-10/10", "bytes */10", "items 0-1/2", "bytes 0-1", "0-1/2",
     "bytes 0-1/2 ", "bytes -1-1/2", "bytes ٠-1/2"],
)  # fmt: skip
def test_a_senseless_content_range_is_none(value: str | None) -> None:
    assert headers.content_range(value) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0-99", 100), ("bytes=0-99", 100), ("0-0", 0), (None, None), ("5-9", None), ("x", None)],
)
def test_an_upload_tells_how_far_it_came(value: str | None, expected: int | None) -> None:
    assert headers.upload_offset(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('</v2/a/tags/list?last=b>; rel="next"', "/v2/a/tags/list?last=b"),
        ("<https://x/y>;rel=next", "https://x/y"),
        ('</a>; rel="prev", </b>; rel="next"', "/b"),
        ('</a>; rel="prev"', None),
        ("nonsense", None),
    ],
)
def test_the_next_page_is_found(value: str, expected: str | None) -> None:
    assert headers.next_link([value]) == expected
