"""Names of images are split and completed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.cli.reference import parse, tagged
from casemate.errors import InvalidArgument

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "whole", "familiar"),
    [
        ("debian", "docker.io/library/debian:latest", "debian:latest"),
        ("debian:12", "docker.io/library/debian:12", "debian:12"),
        ("me/x", "docker.io/me/x:latest", "me/x:latest"),
        ("docker.io/debian", "docker.io/library/debian:latest", "debian:latest"),
        ("index.docker.io/me/x:1", "docker.io/me/x:1", "me/x:1"),
        ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
        ("reg.lan:5000/x", "reg.lan:5000/x:latest", "reg.lan:5000/x:latest"),
        (f"debian@{DIGEST}", f"docker.io/library/debian@{DIGEST}", f"debian@{DIGEST}"),
        (f"a.b/c:d@{DIGEST}", f"a.b/c:d@{DIGEST}", f"a.b/c:d@{DIGEST}"),
    ],
)
def test_names_are_completed_and_shortened(text: str, whole: str, familiar: str) -> None:
    found = tagged(text)
    assert (str(found), found.familiar) == (whole, familiar)


def test_a_digest_is_what_is_asked_for_first() -> None:
    assert tagged(f"debian:12@{DIGEST}").version == DIGEST


@pytest.mark.parametrize("text", ["", ":", "a:", "a@", "Debian", "a b", "é", "reg.lan/A", "a\n"])
def test_what_cannot_be_a_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid reference format"):
        parse(text)


@given(st.text(alphabet="ab.:/@-A", max_size=16))
def test_a_name_stays_the_same_when_it_is_read_again(text: str) -> None:
    try:
        found = parse(text)
    except InvalidArgument:
        return
    again = parse(str(found))
    assert str(again) == str(found)
    assert str(parse(found.familiar)) == str(found)
