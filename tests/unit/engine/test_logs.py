"""Choosing entries of a log."""

from __future__ import annotations

import pytest

from casemate.engine.logfile import Entry
from casemate.engine.logs import Wanted, _Selection

ENTRIES = [Entry(1, "2026-01-01T00:00:00.000000000Z", b"x\n")] * 10_000


@pytest.mark.parametrize("wanted", [Wanted(stdout=False), Wanted(since_ns=9 * 10**18)])
def test_who_skips_much_lets_others_go_on_meanwhile(wanted: Wanted) -> None:
    assert [*_Selection(wanted, framed=True).pieces(ENTRIES)] == [b""] * 10


def test_what_is_chosen_is_whole() -> None:
    pieces = [*_Selection(Wanted(), framed=False).pieces(ENTRIES)]
    assert b"".join(pieces) == b"x\n" * 10_000
    assert len(pieces) > 1
