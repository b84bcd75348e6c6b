"""What a volume may be called, and what it may be told."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.errors import InvalidArgument, Unsupported
from casemate.volume.model import ANONYMOUS, Volume, checked_name, checked_options


@given(st.text(max_size=8))
def test_a_name_is_one_part_of_a_path(name: str) -> None:
    """Whatever is accepted names one entry of a directory, and not a hidden one."""
    try:
        assert checked_name(name) == name
    except InvalidArgument:
        assert not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_.-]+", name)
    else:
        assert name.isascii() and "/" not in name and name[0] not in ".-_" and len(name) > 1


@pytest.mark.parametrize(
    "options",
    [
        {"type": "none", "o": "bind", "device": "/srv"},
        {"o": "rbind", "device": "/srv"},
        {"type": "bind", "o": "bind,", "device": "/srv"},
        {},
    ],
)
def test_a_volume_may_be_a_directory_of_the_host(options: dict[str, str]) -> None:
    assert checked_options(options) == options
    assert Volume("name", 0, {}, options).device == options.get("device", "")


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"o": "bind", "device": "relative"}, InvalidArgument),
        ({"o": "bind", "device": "/with\0nul"}, InvalidArgument),
        ({"o": "bind"}, InvalidArgument),
        ({"o": "bind,ro", "device": "/x"}, Unsupported),
        ({"device": "/x"}, Unsupported),
        ({"type": "nfs", "o": "addr=1.2.3.4", "device": ":/x"}, Unsupported),
        ({"size": "1g"}, Unsupported),
        ({"size": "1g", "bogus": ""}, InvalidArgument),
    ],
)
def test_what_is_not_done_is_refused(options: dict[str, str], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        checked_options(options)


def test_docker_marks_what_nobody_has_named() -> None:
    assert Volume("x" * 64, 0, {ANONYMOUS: ""}).anonymous
    assert not Volume("name", 0, {"a": "b"}).anonymous
