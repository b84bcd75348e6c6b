"""Detach keys of clients that speak the API themselves: at a terminal, they end the attachment."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casemate.errors import InvalidArgument
from casemate.http.client import Client
from support.engine import PREFIX, RunningEngine
from support.streams import Streams, attach, start_exec

pytestmark = pytest.mark.root

CAT = ("sh", "-c", "stty raw -echo; echo ready; exec cat -u")
USUAL = b"\x10\x11"


def at_terminal(engine: RunningEngine, keys: str = "") -> tuple[str, Streams]:
    """Return a container that says what is typed, and a client at its terminal."""
    id_ = engine.create("busybox", *CAT, Tty=True, OpenStdin=True)
    streams = attach(engine.client, id_, tty=True, keys=keys)
    engine.start_container(id_)
    streams.until(b"ready")
    return id_, streams


@pytest.mark.parametrize(
    ("keys", "typed", "seen"),
    [
        ("", USUAL, b""),
        ("", b"a\x10b\x10\x10\x11never", b"a\x10b\x10"),
        ("ctrl-a,d", b"\x10\x11\x01x\x01\x01d", b"\x10\x11\x01x\x01"),
        ("a,a,b", b"aaab", b"a"),
        ("x", b"ax", b"a"),
        ("DEL,ctrl-@", b"\x7f\x7f\x00", b"\x7f"),
    ],
)
def test_detach_keys_leave_the_container_running(
    engine: RunningEngine, keys: str, typed: bytes, seen: bytes
) -> None:
    id_, streams = at_terminal(engine, keys)
    streams.send(typed)
    streams.rest()
    assert engine.inspect(id_)["State"]["Running"]
    again = attach(Client(f"unix://{engine.socket}", PREFIX), id_, tty=True)
    again.send(b"once more.\n")
    again.until(b"once more.\n")
    again.close()
    with engine.client.request("GET", f"/containers/{id_}/logs?stdout=1") as reply:
        assert reply.read() == b"ready\n" + seen + b"once more.\n"


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("ab", min_size=1, max_size=4), st.lists(st.text("ab", max_size=5), max_size=5))
def test_the_first_whole_sequence_ends_it_however_it_is_cut(
    engine: RunningEngine, keys: str, pieces: list[str]
) -> None:
    """The same as to look for the keys in all that was typed."""
    client = Client(f"unix://{engine.socket}", PREFIX)
    (id_,) = [c["Id"] for c in client.get("/containers/json")] or [
        engine.run_container("busybox", "sleep", "1000")
    ]
    exec_id = engine.create_exec(id_, *CAT, Tty=True, AttachStdin=True, DetachKeys=",".join(keys))
    streams = start_exec(client, exec_id, tty=True)
    streams.until(b"ready\n")
    typed = "".join(pieces)
    # What is typed behind the keys finds nobody any more, and breaks the connection.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for piece in pieces:
            streams.send(piece.encode())
        if keys in typed:
            streams.rest()
    if keys in typed:
        assert typed[: typed.index(keys)].startswith(streams.out.decode())
        streams.close()
    else:
        streams.send(b".")  # whatever was held back goes on
        assert streams.until(b".").decode() == f"{typed}."
        streams.close()
    client.close()


def test_what_is_no_whole_sequence_goes_through(engine: RunningEngine) -> None:
    _, streams = at_terminal(engine, "a,b,c")
    for piece in (b"ab", b"ab", b"x", b"a", b"bx"):
        streams.send(piece)
    assert streams.until(b"ababxabx").endswith(b"ababxabx")
    streams.close()


def test_without_a_terminal_there_are_no_keys(engine: RunningEngine) -> None:
    id_ = engine.create("busybox", "cat", OpenStdin=True, StdinOnce=True)
    streams = attach(engine.client, id_, keys="a,b")
    engine.start_container(id_)
    streams.end_input(b"ab" + USUAL)
    assert streams.rest() == (b"ab" + USUAL, b"")


def test_an_exec_is_left_running(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sleep", "1000")
    exec_id = engine.create_exec(id_, *CAT, Tty=True, AttachStdin=True, DetachKeys="ctrl-x,q")
    streams = start_exec(engine.client, exec_id, tty=True)
    streams.until(b"ready")
    streams.send(b"a\x18")
    streams.send(b"q")
    streams.rest()
    found = engine.client.get(f"/exec/{exec_id}/json")
    assert found["Running"] and found["DetachKeys"] == "ctrl-x,q"


@pytest.mark.parametrize("keys", ["ctrl-1", "ab", "é", "a,,b", ",".join("abcdefghijklmnopq")])
def test_keys_that_are_none_are_refused(engine: RunningEngine, keys: str) -> None:
    id_ = engine.run_container("busybox", "sleep", "1000", Tty=True)
    with pytest.raises(InvalidArgument, match="detach keys"):
        attach(engine.client, id_, tty=True, keys=keys)
    with pytest.raises(InvalidArgument, match="detach keys"):
        engine.create_exec(id_, "true", DetachKeys=keys)
