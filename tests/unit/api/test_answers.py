"""Bodies that are checked, errors that are worded."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from casemate.api.answers import refuse_unknown
from casemate.engine.model import CreateRequest
from casemate.errors import Unsupported, from_os, http_status


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"Image": "x", "New": None, "Other": {}, "HostConfig": {"More": 0}},
        {"HostConfig": {"Mounts": [{"Type": "bind", "X": ""}], "PortBindings": {"80/tcp": None}}},
        {"HostConfig": {"Sysctls": {"any": "name"}}, "Labels": {"any": "label"}},
        {"HostConfig": {"Mounts": "of a wrong type", "RestartPolicy": 7}, "Cmd": "one string"},
        {"NetworkingConfig": {"EndpointsConfig": {"bridge": {"NetworkID": "x"}}}},
    ],
)
def test_what_asks_for_nothing_unknown(body: dict[str, Any]) -> None:
    refuse_unknown(body, CreateRequest)


@pytest.mark.parametrize(
    "body",
    [
        {"X": 1},
        {"HostConfig": {"X": 1}},
        {"HostConfig": {"RestartPolicy": {"X": "always"}}},
        {"HostConfig": {"Mounts": [{}, {"BindOptions": {"X": True}}]}},
        {"HostConfig": {"PortBindings": {"80/tcp": [{"X": "1"}]}}},
        {"Healthcheck": {"X": 1}},
    ],
)
def test_what_is_unknown_at_any_depth(body: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match=r"^X is not supported"):
        refuse_unknown(body, CreateRequest)


def test_a_name_that_is_too_long_is_the_callers_fault() -> None:
    error = from_os(OSError(errno.ENAMETOOLONG, "File name too long"), "cannot look at x")
    assert http_status(error) == 400
