"""What is left of an engine that was killed, and what the next one makes of it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from casemate.database import Database
from casemate.errors import NotFound
from casemate.linux import rtnetlink
from casemate.linux.netlink import Socket
from casemate.linux.nftables import Library
from casemate.network.request import NetworkRequest
from support.network_lab import (
    Engine,
    Room,
    cut_off,
    here,
    needs_root,
    on_private_host,
    reached_from,
    wildcard,
)

pytestmark = [pytest.mark.root, needs_root]

_STEPS_MAX = 200


def _die_at(step: int) -> None:
    """Make this process kill itself before or after its ``step``-th change of anything."""
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        if count == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            tick()
            result = function(*args, **kwargs)
            tick()
            return result

        return wrapped

    @contextlib.contextmanager
    def transaction(self: Database, **kwargs: Any) -> Any:
        with plain(self, **kwargs) as connection:
            yield connection
            tick()
        tick()

    plain = Database.transaction
    Database.transaction = transaction  # type: ignore[assignment,method-assign]
    Socket.execute = around(Socket.execute)  # type: ignore[method-assign]
    Library.execute = around(Library.execute)  # type: ignore[method-assign]


def _life(directory: str, room: Room) -> None:
    """Make two networks, connect a container, and take half of it down again."""
    engine = Engine(directory)
    network = engine.networks.default("casemate0")
    other = engine.networks.create(NetworkRequest("other", ipv6=True))
    first = engine.store.connect(network, "c1")
    second = engine.store.connect(other, "c1")
    engine.networks.attach([first, second], room.pid, room.netlink)
    engine.networks.disconnect(second)
    engine.networks.remove(other)


def _killed(directory: str, room: Room, step: int) -> bool:
    """Lead a life that is killed at ``step``; returns False when it ended before."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _die_at(step)
            _life(directory, room)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert status in (0, signal.SIGKILL)
    return status != 0


@pytest.mark.slow
@on_private_host
def test_an_engine_killed_at_any_step_is_continued_by_the_next(tmp_path: str) -> None:
    for step in range(1, _STEPS_MAX):
        directory = f"{tmp_path}/{step}"
        os.mkdir(directory)
        room = Room()
        killed = _killed(directory, room, step)
        engine = Engine(directory)
        found = engine.networks.recover({"c1"})
        _require_agreement(engine, {one.interface for one in found.missing})
        engine.networks.recover(set())
        assert engine.store.endpoints() == []
        assert engine.database.query("SELECT * FROM lease") == []
        assert rtnetlink.links(engine.host, kind="veth") == []
        _take_down(engine)
        room.kill()
        engine.database.close()
        if not killed:
            return
    raise AssertionError("the life does not end")


def _require_agreement(engine: Engine, missing: set[str]) -> None:
    networks = [network for network in engine.store.networks() if network.bridge]
    bridges = {link.name: link.ifindex for link in rtnetlink.links(engine.host, kind="bridge")}
    assert bridges.keys() == {network.bridge for network in networks}
    assert engine.firewall.verify(networks) == []
    masters = {network.id: bridges[network.bridge] for network in networks}
    made = {link.name: link.master for link in rtnetlink.links(engine.host, kind="veth")}
    wanted = {
        engine.bridges.interface(endpoint): masters[endpoint.network]
        for endpoint in engine.store.endpoints()
        if endpoint.interface not in missing
    }
    assert made == wanted


def _take_down(engine: Engine) -> None:
    for network in engine.store.networks():
        if network.bridge:
            engine.host.execute(rtnetlink.delete_link(network.bridge))
    engine.firewall.remove()


@on_private_host
def test_a_running_container_stays_connected_when_the_engine_is_killed(tmp_path: str) -> None:
    engine = Engine(str(tmp_path))
    room, endpoint = engine.start(engine.networks.default("casemate0"), "c1")
    next_engine = Engine(str(tmp_path))
    found = next_engine.networks.recover({"c1"})
    assert found == ((), ())
    server = room.run(wildcard)
    assert reached_from(here, server, str(endpoint.addresses[0].ip))


@on_private_host
def test_a_bridge_that_vanished_is_made_again_and_its_ports_put_back(tmp_path: str) -> None:
    engine = Engine(str(tmp_path))
    room, endpoint = engine.start(engine.networks.default("casemate0"), "c1")
    engine.host.execute(rtnetlink.delete_link("casemate0"))
    server = room.run(wildcard)
    assert cut_off(here, server, str(endpoint.addresses[0].ip))
    assert engine.networks.recover({"c1"}) == ((), ())
    assert reached_from(here, server, str(endpoint.addresses[0].ip))


@on_private_host
def test_an_endpoint_whose_namespace_is_gone_is_reported(tmp_path: str) -> None:
    engine = Engine(str(tmp_path))
    _, endpoint = engine.start(engine.networks.default("casemate0"), "c1")
    engine.host.execute(rtnetlink.delete_link(engine.bridges.interface(endpoint)))
    assert engine.networks.recover({"c1"}).missing == (endpoint,)


@on_private_host
def test_engines_side_by_side_leave_each_other_alone(tmp_path: str) -> None:
    one, two = Engine(str(tmp_path), "one"), Engine(str(tmp_path), "two")
    first, here_ = one.start(one.networks.default("one0"), "c1")
    _, there = two.start(two.networks.default("two0"), "c1")
    assert one.store.network("bridge").subnets != two.store.network("bridge").subnets
    assert one.networks.recover({"c1"}) == ((), ())
    assert two.networks.recover(set()) == ((two.bridges.interface(there),), ())
    assert rtnetlink.index_of(one.host, one.bridges.interface(here_))
    two.firewall.remove()
    assert one.firewall.verify(one.store.networks()) == []
    assert first.pid


@on_private_host
def test_a_network_that_cannot_be_made_leaves_no_record(tmp_path: str) -> None:
    engine = Engine(str(tmp_path))
    engine.host.execute(rtnetlink.create_veth("casemate0", rtnetlink.Peer("x"), master=0, mtu=1500))
    with pytest.raises(Exception, match="not this network's bridge"):
        engine.networks.default("casemate0")
    with pytest.raises(NotFound):
        engine.store.network("bridge")
    assert engine.firewall.verify(engine.store.networks()) == []
