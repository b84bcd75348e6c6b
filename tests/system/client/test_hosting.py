"""An engine in a test's own process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Iterator

import pytest

import casemate
from casemate import aio
from casemate.errors import Conflict, InvalidArgument, Unavailable
from support.engine import RunningEngine, busybox_tar
from support.engines import place

pytestmark = pytest.mark.root


@pytest.fixture
def home() -> Iterator[RunningEngine]:
    """The directories of an engine that is not running; what is in them is removed."""
    found = RunningEngine(place())
    yield found
    found.remove_everything()


def test_a_hosted_engine_is_a_whole_engine(home: RunningEngine) -> None:
    umask = os.umask(0o027)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with casemate.host(home.root, home.run) as engine:
            engine.images.import_tar(busybox_tar(), "busybox")
            assert engine.run("busybox", ["cat", "/etc/hostname"], user="bob", check=True).text
            assert engine.address == f"unix://{home.socket}"
            listed = subprocess.run(
                ["docker", "-H", engine.address, "images", "--format", "{{.Repository}}"],
                capture_output=True,
                text=True,
                check=True,
            )
            assert listed.stdout == "busybox\n"
            assert os.umask(0o027) == 0o027
            assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        os.umask(umask)
    assert not os.path.exists(home.socket)
    with pytest.raises(Unavailable), casemate.Engine(f"unix://{home.socket}") as engine:
        engine.info()


def test_what_nobody_owns_goes_on_and_the_next_engine_finds_it(home: RunningEngine) -> None:
    with casemate.host(home.root, home.run) as engine:
        engine.images.import_tar(busybox_tar(), "busybox")
        engine.containers.create("busybox", ["sleep", "600"], name="stays").start()
        pid = engine.containers.get("stays").inspect()["State"]["Pid"]
    assert os.path.exists(f"/proc/{pid}")
    home.start()
    state = home.inspect("stays")["State"]
    assert (state["Status"], state["Pid"]) == ("running", pid)


def test_there_is_one_engine_in_a_place(home: RunningEngine) -> None:
    threads = threading.active_count()
    with casemate.host(home.root, home.run):
        with (
            pytest.raises(Conflict, match="another one serves there"),
            casemate.host(home.root, home.run),
        ):
            pass
        with (
            pytest.raises(Conflict, match="another engine has it"),
            casemate.host(home.root, f"{home.run}-other"),
        ):
            pass
    assert threading.active_count() == threads


def test_what_keeps_it_from_starting_is_raised(home: RunningEngine) -> None:
    with (
        pytest.raises(InvalidArgument, match="cannot read the settings"),
        casemate.host(home.root, home.run, config="/nonexistent"),
    ):
        pass
    os.makedirs(f"{home.socket}/in-the-way")
    with pytest.raises(casemate.Error, match="cannot host"), casemate.host(home.root, home.run):
        pass
    os.rmdir(f"{home.socket}/in-the-way")
    os.rmdir(home.socket)


def test_an_event_loop_hosts_one_as_well(home: RunningEngine) -> None:
    async def whole() -> str:
        async with aio.host(home.root, home.run, warm_rooms=1) as engine:
            await engine.images.import_tar(busybox_tar(), "busybox")
            return (await engine.run("busybox", ["echo", "hosted"])).text

    assert asyncio.run(whole()) == "hosted\n"
