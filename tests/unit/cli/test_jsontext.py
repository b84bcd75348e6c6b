"""JSON is read and written as the standard library does it, but harmless on a terminal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.cli import jsontext

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)  # fmt: skip


@given(values, st.sampled_from(["", "  ", "\t"]))
def test_what_is_written_is_what_json_reads(value: object, step: str) -> None:
    text = jsontext.dumps(value, step)
    assert json.loads(text) == value
    assert jsontext.loads(text) == value
    assert all(c.isprintable() or (step and c in "\n\t") for c in text)


@given(values)
def test_indented_text_is_laid_out_as_json_does_it(value: object) -> None:
    theirs = json.dumps(value, indent=4, ensure_ascii=False)
    if theirs.isascii():
        assert jsontext.dumps(value, "    ").replace("\\u007f", "\x7f") == theirs


@given(st.text() | st.binary())
def test_any_text_is_read_or_refused(text: str | bytes) -> None:
    try:
        expected = json.loads(text if isinstance(text, str) else text.decode("utf-8"))
    except (ValueError, RecursionError):
        with pytest.raises(ValueError):
            jsontext.loads(text)
    else:
        if "NaN" not in repr(text) and "Infinity" not in repr(text):
            assert repr(jsontext.loads(text)) == repr(expected)


@pytest.mark.parametrize(
    "text", ["", " ", "{", '{"a":}', "[1] 2", "NaN", "-Infinity", '"\x01"', "[" * 100_000]
)
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        jsontext.loads(text)


def test_escape_sequences_are_written_as_escapes() -> None:
    assert jsontext.dumps("\x1b]0;x\x07 \u202e é") == '"\\u001b]0;x\\u0007 \\u202e é"'
