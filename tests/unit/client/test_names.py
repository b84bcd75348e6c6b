"""What ``import casemate`` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys
from inspect import signature

import pytest

import casemate
from casemate import aio

#: What the command may not pay for; see its own test.
TOO_SLOW = {"asyncio", "json", "msgspec", "re", "socket", "tarfile", "threading", "typing"}


@pytest.mark.parametrize("name", casemate.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(casemate, name) is getattr(casemate, name)
    assert name in dir(casemate)


def test_every_name_has_a_home() -> None:
    assert set(casemate.__all__) == set(casemate._HOMES)


def test_a_name_that_is_none_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        casemate.nothing  # noqa: B018


def test_the_import_alone_costs_nothing() -> None:
    report = "import sys; had = set(sys.modules); import casemate; print(*set(sys.modules) - had)"
    command = [sys.executable, "-S", "-c", report]
    path = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(command, env=path, capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & TOO_SLOW


def test_the_client_brings_neither_an_engine_nor_an_event_loop() -> None:
    report = "import sys, casemate; casemate.run, casemate.Pool; print(*sys.modules)"
    command = [sys.executable, "-S", "-c", report]
    path = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(command, env=path, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "casemate.client.pool" in loaded
    assert not loaded & {"asyncio", "tarfile", "msgspec", "casemate.composition", "casemate.engine"}


@pytest.mark.parametrize("name", casemate.__all__)
def test_the_event_loops_face_has_the_same_names(name: str) -> None:
    assert name in aio.__all__


PAIRS = [
    (casemate.Container, aio.Container),
    (casemate.Running, aio.Running),
    (casemate.Engine, aio.Engine),
    (casemate.Pool, aio.Pool),
    (type(casemate.Engine("unix:///x").images), type(aio.Engine("unix:///x").images)),
    (type(casemate.Engine("unix:///x").containers), type(aio.Engine("unix:///x").containers)),
]
#: The steps of a run, of which the event loop's face is made; and what only one of them needs.
STEPS = {
    *("ask_for_end", "start_exec", "watch", "unwatch", "condemn", "read", "status"),
    *(
        "expect_exec",
        "lost",
        "begin",
        "conclude",
        "give_back",
        "job",
        "take",
        "start",
        "prepare",
        "connections",
    ),
    *("blocking", "threads", "end"),
}


@pytest.mark.parametrize(("blocking", "awaited"), PAIRS)
def test_the_event_loops_face_has_the_same_methods(
    blocking: type[object], awaited: type[object]
) -> None:
    def public(kind: type[object]) -> dict[str, object]:
        names = {name for name in dir(kind) if not name.startswith("_")} - STEPS
        return {name: getattr(kind, name) for name in names}

    ours, theirs = public(blocking), public(awaited)
    assert set(ours) == set(theirs)
    for name, method in ours.items():
        if callable(method):
            same = signature(method).parameters.keys()
            assert signature(theirs[name]).parameters.keys() == same, name  # type: ignore[arg-type]
