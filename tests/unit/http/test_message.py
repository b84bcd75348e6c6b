"""Values in a request's query."""

from __future__ import annotations

from typing import Any

import pytest

from casemate.errors import InvalidArgument
from casemate.http.message import Body, Request


def request(query: str) -> Request:
    nobody: Any = None
    return Request("GET", f"/x?{query}".encode(), {}, Body(nobody, nobody), nobody)


@pytest.mark.parametrize(
    ("query", "number"), [("n=5", 5), ("n=-1", -1), ("n=%2B7", 7), ("n=", None), ("m=1", None)]
)
def test_numbers(query: str, number: int | None) -> None:
    assert request(query).number("n") == number


@pytest.mark.parametrize(
    "text", ["x", "1.5", "1e9", "1_0", "²", "%D9%A3", f"{1 << 63}", "9" * 400, "9" * 5000]
)
def test_what_no_field_holds_is_no_number(text: str) -> None:
    with pytest.raises(InvalidArgument, match="whole number"):
        request(f"n={text}").number("n")
