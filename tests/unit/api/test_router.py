"""From method and path to an action."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.api.answers import _present
from casemate.api.router import Call, Route, Router, split_version
from casemate.errors import Error, InvalidArgument, NotFound


async def _nothing(call: Call) -> None:
    return None


async def _other(call: Call) -> None:
    return None


ROUTER = Router(
    (
        Route("GET", "/images/json", _other),
        Route("GET", "/images/{name*}/json", _nothing),
        Route("POST", "/containers/{id}/start", _nothing),
    )
)


@pytest.mark.parametrize(
    ("method", "path", "values"),
    [
        ("GET", "/images/json", {}),
        ("GET", "/images/a/b:1/json", {"name": "a/b:1"}),
        ("GET", "/images/json/json", {"name": "json"}),
        ("POST", "/containers/x/start", {"id": "x"}),
    ],
)
def test_actions_are_found(method: str, path: str, values: dict[str, str]) -> None:
    assert ROUTER.find(method, path)[1] == values


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/images/json"),
        ("GET", "/images//json/"),
        ("POST", "/containers/a/b/start"),
        ("POST", "/containers//start"),
        ("POST", "//containers/x/start"),
        ("POST", "/v1.44/../containers/x/start"),
        ("GET", ""),
    ],
)
def test_paths_are_not_normalised(method: str, path: str) -> None:
    """Escape table B.8, parser differences: one reading of a path."""
    with pytest.raises(NotFound):
        ROUTER.find(method, path)


@given(st.text(max_size=60), st.text(max_size=8))
def test_any_path_is_an_action_or_not_found(path: str, method: str) -> None:
    try:
        version, rest = split_version(path)
        assert (1, 24) <= version <= (1, 47)
        ROUTER.find(method, rest)
    except Error:
        pass


@pytest.mark.parametrize(
    ("path", "version", "rest"),
    [
        ("/v1.47/info", (1, 47), "/info"),
        ("/v1.24/info", (1, 24), "/info"),
        ("/info", (1, 47), "/info"),
        ("/version", (1, 47), "/version"),
        ("/v1.40", (1, 47), "/v1.40"),
    ],
)
def test_versions(path: str, version: tuple[int, int], rest: str) -> None:
    assert split_version(path) == (version, rest)


@pytest.mark.parametrize(("path", "why"), [("/v1.48/x", "too new"), ("/v1.23/x", "too old")])
def test_versions_that_we_do_not_speak(path: str, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        split_version(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@given(JSON)
def test_nulls_are_absent_and_nothing_is_beyond_a_field(value: object) -> None:
    try:
        found = _present(value)
    except InvalidArgument:
        return
    pending = [found]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            assert None not in one.values()
            pending += [*one, *one.values()]
        elif isinstance(one, list):
            pending += one
        elif isinstance(one, str):
            assert "\0" not in one
        elif isinstance(one, int):
            assert -(1 << 63) <= one < 1 << 63
