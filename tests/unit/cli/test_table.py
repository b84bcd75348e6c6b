"""Tables are aligned, and nothing in them steers the terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.cli.listing import Listing, naturally
from casemate.cli.output import clean, clean_lines
from casemate.cli.table import aligned, shortened, width_of

NASTY = "\x1b]0;owned\x07\x1b[2J\r\n\tx\u202ey\x9b31m\x7f"


@given(
    st.lists(st.lists(st.text(alphabet="ab日 ", max_size=12), min_size=3, max_size=3), min_size=1)
)
def test_every_column_begins_at_the_same_place(lines: list[list[str]]) -> None:
    rows = aligned(lines).split("\n")[:-1]
    assert len(rows) == len(lines)
    widths = [max(max(width_of(line[i]) for line in lines) + 3, 10) for i in range(2)]
    for row, line in zip(rows, lines, strict=True):
        padded = [cell + " " * (w - width_of(cell)) for cell, w in zip(line, widths, strict=False)]
        assert row == "".join(padded) + line[2]


def test_a_block_of_shorter_lines_does_not_widen_another() -> None:
    assert aligned([["a" * 20, "b"], ["c"], ["d", "e"]]) == "a" * 20 + "   b\nc\nd         e\n"


@given(st.text(max_size=20), st.integers(1, 10))
def test_what_is_shortened_fits(text: str, width: int) -> None:
    short = shortened(text, width)
    assert width_of(short) <= width
    assert short == text or short.endswith("…")


@given(st.text())
def test_cleaned_text_is_printable(text: str) -> None:
    assert clean(text).isprintable()
    assert all(c.isprintable() or c in "\n\t" for c in clean_lines(text))


def test_printable_text_stays_as_it_is() -> None:
    assert clean("web-1 (日本, é)") == "web-1 (日本, é)"


@pytest.mark.parametrize("form", ["", "table {{.Name}}\t{{.Name}}"])
def test_tables_show_escape_sequences_as_text(form: str, capfd: pytest.CaptureFixture[str]) -> None:
    listing = Listing({"Name": ("NAME", lambda item, whole: item)}, ("Name",), quiet="Name")
    listing.show([NASTY], form)
    listing.show([NASTY], quiet=True)
    shown = capfd.readouterr().out
    assert not set(shown.replace("\n", "")) & set("\x1b\x07\r\x9b\x7f\u202e")
    assert "\\x1b]0;owned" in shown


def test_names_are_sorted_as_people_count() -> None:
    names = ["v10", "v9", "a", "v1b", "v1"]
    assert sorted(names, key=naturally) == ["a", "v1", "v1b", "v9", "v10"]
