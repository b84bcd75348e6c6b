"""The rules in the kernel: written, read back, restored, and nobody else's touched."""

from __future__ import annotations

import os
import resource
import select
import shutil
import socket
import subprocess

import pytest

from casemate.linux import nftables
from casemate.network import findings, subnets
from casemate.network.firewall import Firewall
from casemate.network.model import Network
from casemate.network.request import NetworkRequest
from support.network_lab import (
    HOST4,
    OUTSIDE4,
    Engine,
    cut_off,
    needs_root,
    on_private_host,
    outside,
    reached_from,
    wildcard,
)

pytestmark = [pytest.mark.root, needs_root]

_NFT = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin") or ""
needs_nft = pytest.mark.skipif(not _NFT, reason="needs the nft program")


def _network(number: int, **more: object) -> Network:
    given = (
        subnets.parse(f"172.20.{number}.0/24"),
        subnets.parse(f"fd00:0:0:{number}::/64"),
    )
    values = {"id": f"{number:064x}", "name": f"n{number}", "driver": "bridge", "mtu": 1500}
    return Network(**values | {"bridge": f"br{number}", "subnets": given} | more)  # type: ignore


def _nft(*words: str) -> str:
    return subprocess.run([_NFT, *words], check=True, capture_output=True, text=True).stdout


@on_private_host
@needs_nft
@pytest.mark.parametrize("way", ["library", "program"])
def test_rules_are_written_read_back_and_removed(way: str) -> None:
    used = nftables.Library() if way == "library" else nftables.Program(_NFT)
    firewall = Firewall(used, "casemate")
    assert firewall.verify([]) == [
        "table inet casemate is missing",
        "table bridge casemate is missing",
    ]
    for networks in ([], [_network(1)], [_network(n, internal=n % 2 == 0) for n in range(8)]):
        firewall.apply(networks)
        assert firewall.verify(networks) == []
    assert firewall.verify([_network(1)]) != []
    firewall.remove()
    firewall.remove()
    assert _nft("list", "ruleset") == ""


@on_private_host
def test_a_process_with_many_descriptors_has_rules() -> None:
    """The library uses select(2), which ends a process that has its 1024th descriptor in a set."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    many = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
    try:
        firewall = Firewall(nftables.Library(), "casemate")
        firewall.apply([_network(1)])
        assert firewall.verify([_network(1)]) == []
    finally:
        for descriptor in many:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@on_private_host
@needs_nft
def test_the_program_and_the_library_make_the_same_rules() -> None:
    networks = [_network(n, internal=n % 2 == 0) for n in range(3)]
    Firewall(nftables.Library(), "casemate").apply(networks)
    by_library = _nft("-s", "list", "ruleset")
    Firewall(nftables.Program(_NFT), "casemate").apply(networks)
    assert _nft("-s", "list", "ruleset") == by_library


@on_private_host
@needs_nft
@pytest.mark.parametrize(
    "change",
    [
        "flush ruleset",
        "delete table inet casemate",
        "flush chain inet casemate forward",
        "delete element inet casemate bridges { casemate0 }",
        "add element inet casemate same { casemate0 . eth0 }",
        "insert rule bridge casemate prerouting accept",
        "add chain inet casemate forward { policy drop; }",
        "add chain inet casemate more",
    ],
)
def test_any_change_by_others_is_noticed_and_undone(tmp_path: str, change: str) -> None:
    engine = Engine(str(tmp_path))
    engine.networks.default("casemate0")
    assert engine.networks.restore_rules() == []
    with nftables.watch() as watcher:
        assert select.select([watcher], [], [], 0)[0] == []
        _nft(change)
        assert select.select([watcher], [], [], 5)[0] == [watcher]
    assert engine.networks.restore_rules() != []
    assert engine.networks.restore_rules() == []


@on_private_host
@needs_nft
def test_tables_of_others_are_never_touched(tmp_path: str) -> None:
    _nft("add table inet host; add chain inet host c { type filter hook forward priority 0; }")
    _nft("add rule inet host c tcp dport 1 drop; add table bridge host; add table inet casemate2")
    before = _nft("list", "ruleset")
    engine = Engine(str(tmp_path))
    engine.networks.remove(engine.networks.create(NetworkRequest("one")))
    engine.firewall.remove()
    assert _nft("list", "ruleset") == before


@on_private_host
def test_connections_survive_a_replacement_of_the_rules(tmp_path: str) -> None:
    world = outside()
    engine = Engine(str(tmp_path))
    room, _ = engine.start(engine.networks.default("casemate0"), "c1")
    server = world.run(wildcard)
    client = room.run(lambda: socket.create_connection((OUTSIDE4, 7), timeout=5))
    accepted, peer = server.accept()
    engine.networks.create(NetworkRequest("another"))
    accepted.sendall(b"still there")
    assert client.recv(64) == b"still there"
    assert peer[0] == f"::ffff:{HOST4}"


@on_private_host
@needs_nft
def test_a_host_that_drops_what_it_forwards_is_reported_with_the_remedy(tmp_path: str) -> None:
    world = outside()
    engine = Engine(str(tmp_path))
    network = engine.networks.default("casemate0")
    used, networks = nftables.connect(), engine.store.networks()
    open_router = findings.findings(used, networks, "casemate")
    assert ["forwards between all its interfaces" in one.message for one in open_router] == [True]
    _nft("add table ip filter")
    _nft("add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }")
    found = findings.findings(used, networks, "casemate")
    assert len(found) == 1
    assert "ip filter FORWARD drops" in found[0].message
    room, _ = engine.start(network, "c1")
    server = world.run(wildcard)
    assert cut_off(room.run, server, OUTSIDE4)
    _nft(found[0].hint.removeprefix("nft ").strip("'"))
    assert findings.findings(used, networks, "casemate") == []
    assert reached_from(room.run, server, OUTSIDE4) == HOST4


@on_private_host
def test_forwarding_that_somebody_turned_off_is_reported(tmp_path: str) -> None:
    engine = Engine(str(tmp_path))
    engine.networks.default("casemate0")
    with open("/proc/sys/net/ipv4/ip_forward", "w") as file:
        file.write("0")
    found = findings.findings(nftables.connect(), engine.store.networks(), "casemate")
    assert any("net.ipv4.ip_forward is 0" in one.message for one in found)


@on_private_host
def test_no_finding_without_a_network_that_needs_the_host(tmp_path: str) -> None:
    engine = Engine(str(tmp_path))
    engine.networks.create(NetworkRequest("inner", internal=True))
    assert findings.findings(nftables.connect(), engine.store.networks(), "casemate") == []
