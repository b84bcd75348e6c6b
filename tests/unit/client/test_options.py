"""Arguments of the Python API become the body of a request, or are refused by name."""

from __future__ import annotations

from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.client import options, values
from casemate.client.options import Options, body_of
from casemate.errors import InvalidArgument


def host(**given: Any) -> Any:
    return body_of("i", None, given)["HostConfig"]


@pytest.mark.parametrize(
    ("name", "value", "field", "read"),
    [
        ("memory", "256m", "Memory", 256 << 20),
        ("memory", 5, "Memory", 5),
        ("memory_swap", "-1", "MemorySwap", -1),
        ("memory_swap", "1g", "MemorySwap", 1 << 30),
        ("cpus", 0.5, "NanoCpus", 5 * 10**8),
        ("cpus", "1.25", "NanoCpus", 125 * 10**7),
        ("cpus", 2, "NanoCpus", 2 * 10**9),
        ("pids", -1, "PidsLimit", -1),
        ("group", "ci", "Group", "ci"),
        ("network", "none", "NetworkMode", "none"),
        ("read_only", True, "ReadonlyRootfs", True),
        ("volumes", ["/a:/b:ro"], "Binds", ["/a:/b:ro"]),
        ("tmpfs", {"/x": "size=1m"}, "Tmpfs", {"/x": "size=1m"}),
        ("ulimits", {"nofile": (1, 2)}, "Ulimits", [{"Name": "nofile", "Soft": 1, "Hard": 2}]),
        ("ulimits", {"core": 0}, "Ulimits", [{"Name": "core", "Soft": 0, "Hard": 0}]),
    ],
)
def test_a_value_is_what_the_api_takes(name: str, value: Any, field: str, read: Any) -> None:
    assert host(**{name: value}) == {field: read}


def test_ports_are_published_and_exposed() -> None:
    ports = {80: 8080, "53/udp": ("127.0.0.1", 5353), "81": None}
    body = body_of("i", None, {"ports": ports})
    assert body["HostConfig"]["PortBindings"] == {
        "80/tcp": [{"HostIp": "", "HostPort": "8080"}],
        "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "5353"}],
        "81/tcp": [{"HostIp": "", "HostPort": ""}],
    }
    assert body["ExposedPorts"] == {"80/tcp": {}, "53/udp": {}, "81/tcp": {}}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("memory", "lots"),
        ("memory", -1),
        ("memory", 1.5),
        ("memory", True),
        ("memory", None),
        ("memory", 1 << 63),
        ("cpus", "many"),
        ("cpus", -1),
        ("cpus", 0.1234567891),
        ("cpus", float("nan")),
        ("cpus", "1/0"),
        ("pids", "7"),
        ("pids", False),
        ("env", ["A=b"]),
        ("env", {"A=": "b"}),
        ("env", {"": "b"}),
        ("env", {"A": 1}),
        ("env", {"A": "b\0"}),
        ("user", 0),
        ("volumes", "/a:/b"),
        ("cap_add", b"ALL"),
        ("cap_add", [1]),
        ("read_only", 1),
        ("labels", "x"),
        ("ports", {"80": 1 << 16}),
        ("ports", {"x": 80}),
        ("ports", {0: 80}),
        ("ports", [80]),
        ("ulimits", {"nofile": "many"}),
        ("ulimits", [1]),
        ("stop_timeout", -1),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidArgument, match=rf"^invalid {name}="):
        body_of("i", None, {name: value})


def test_an_unknown_argument_is_refused_with_what_it_may_have_meant() -> None:
    with pytest.raises(InvalidArgument, match="unknown argument 'memroy': did you mean 'memory'"):
        body_of("i", None, {"memroy": "1g"})
    with pytest.raises(InvalidArgument, match=r"unknown argument 'zzzzz'$"):
        body_of("i", None, {"zzzzz": 1})


@pytest.mark.parametrize("command", ["echo hi", b"x", [1], 7])
def test_a_command_is_words_not_a_text(command: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^invalid command="):
        body_of("i", command, {})


@pytest.mark.parametrize("value", [0, -1, "0s", "x", "", True, None, float("inf"), float("nan")])
def test_a_timeout_is_above_zero(value: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^invalid timeout="):
        values.seconds("timeout", value)


def test_every_option_has_a_type_and_a_reader() -> None:
    assert set(get_type_hints(Options)) == options.NAMES


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(options.NAMES - {"name"})), ANYTHING)
def test_any_value_is_read_or_refused_by_name(name: str, value: Any) -> None:
    try:
        assert body_of("i", None, {name: value})
    except InvalidArgument as error:
        assert error.message.startswith(f"invalid {name}=")


@given(st.integers(0, 10**9 * 1000))
def test_processors_are_exact_to_the_billionth(billionths: int) -> None:
    text = f"{billionths // 10**9}.{billionths % 10**9:09}"
    assert values.billionths("cpus", text) == billionths
