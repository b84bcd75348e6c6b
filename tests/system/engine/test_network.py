"""Containers on networks: an engine on a private host with a world around it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

from casemate.errors import Conflict, Error, InvalidArgument, Unavailable
from support.engine import eventually
from support.hosted import SERVER, engine_here, published, says
from support.network_lab import (
    HOST4,
    HOST6,
    OUTSIDE4,
    Room,
    in_network_of,
    needs_root,
    on_private_host,
    outside,
)

pytestmark = [
    pytest.mark.root,
    needs_root,
    pytest.mark.skipif(not os.path.exists("/bin/busybox"), reason="needs a static busybox"),
]


@contextlib.contextmanager
def echo_server(pid: int) -> Iterator[None]:
    """Say every datagram back that arrives at port 7 of the container with the process ``pid``."""

    def opened() -> socket.socket:
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("0.0.0.0", 7))
        return server

    with in_network_of(pid, opened) as server:

        def serve() -> None:
            while (said := server.recvfrom(2048))[0] != b"stop":
                server.sendto(*said)

        def stop() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"stop", ("127.0.0.1", 7))

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        in_network_of(pid, stop)
        thread.join()


def echoes(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect((address, port))
        client.send(b"hello")
        return client.recv(100) == b"hello"


def is_shut(address: str, port: int) -> bool:
    """Whether nobody can be reached there; what is dropped is waited for half a second."""
    try:
        socket.create_connection((address, port), 0.5).close()
    except OSError:
        return True
    return False


def in_world(world: Room, *command: str) -> None:
    subprocess.run(["nsenter", f"--net=/proc/{world.pid}/ns/net", *command], check=True)


@on_private_host
def test_the_default_bridge() -> None:
    world = outside(mtu=1400)
    with engine_here() as engine:
        id_ = engine.run_container("busybox", "sleep", "1000")
        settings = engine.inspect(id_)["NetworkSettings"]
        assert settings["Networks"].keys() == {"bridge"}
        assert settings["IPAddress"] == settings["Networks"]["bridge"]["IPAddress"] != ""
        said = engine.exec(id_, "sh", "-c", "ip -4 -o addr show eth0; ip route; ip -6 -o addr").out
        lines = said.decode().splitlines()
        assert f"{settings['IPAddress']}/{settings['IPPrefixLen']}" in lines[0]
        assert f"default via {settings['Gateway']} dev eth0" in lines[1]
        assert not [line for line in lines if "eth0" in line and "inet6" in line]
        assert engine.exec(id_, "cat", "/sys/class/net/eth0/mtu").out == b"1400\n"
        network = engine.client.get("/networks/bridge")
        assert network["Containers"][id_]["IPv4Address"].split("/")[0] == settings["IPAddress"]
        # What leaves is masqueraded: the world has no route back to the network.
        server = world.run(lambda: socket.create_server(("0.0.0.0", 9)))
        engine.client.post(
            f"/exec/{engine.create_exec(id_, 'nc', OUTSIDE4, '9')}/start", {"Detach": True}
        )
        server.settimeout(10)
        accepted, peer = server.accept()
        accepted.close()
        server.close()
        assert peer[0] == HOST4


@on_private_host
def test_containers_reach_each_other() -> None:
    with engine_here() as engine:
        server = engine.run_container("busybox", *SERVER)
        address = engine.inspect(server)["NetworkSettings"]["IPAddress"]
        fetch = f"while ! wget -qO- http://{address}/; do sleep 0.05; done"
        assert engine.says("busybox", "sh", "-c", fetch).strip() == server[:12]


@on_private_host
def test_a_port_for_everybody() -> None:
    world = outside()
    with engine_here() as engine:
        id_ = engine.run_container(
            "busybox", *SERVER, PortBindings={"80/tcp": [{"HostPort": "8080"}]}
        )
        assert published(engine, id_) == {"0.0.0.0": 8080, "::": 8080}
        for address in ("127.0.0.1", "::1", HOST4, HOST6):
            assert says(address, 8080) == id_[:12]
        for address in (HOST4, HOST6):
            assert world.run(lambda a=address: says(a, 8080)) == id_[:12]  # type: ignore[misc]


@on_private_host
def test_a_port_on_loopback_is_nobody_elses() -> None:
    """Escape table B.9: not to be had from the network, whatever the neighbour routes."""
    world = outside()
    with engine_here() as engine:
        bindings = [{"HostIp": "127.0.0.1", "HostPort": "8080"}]
        id_ = engine.run_container("busybox", *SERVER, PortBindings={"80/tcp": bindings})
        assert published(engine, id_) == {"127.0.0.1": 8080}
        assert says("127.0.0.1", 8080) == id_[:12]
        assert is_shut("::1", 8080)
        assert world.run(lambda: is_shut(HOST4, 8080))
        in_world(world, "ip", "route", "replace", "127.0.0.0/8", "via", HOST4, "table", "main")
        in_world(world, "ip", "addr", "del", "127.0.0.1/8", "dev", "lo")
        assert world.run(lambda: is_shut("127.0.0.1", 8080))


@on_private_host
def test_datagrams() -> None:
    world = outside()
    with engine_here() as engine:
        bindings = {"7/udp": [{"HostPort": "7007"}]}
        id_ = engine.run_container("busybox", "sleep", "1000", PortBindings=bindings)
        assert published(engine, id_, "7/udp") == {"0.0.0.0": 7007, "::": 7007}
        with echo_server(engine.inspect(id_)["State"]["Pid"]):
            assert echoes("127.0.0.1", 7007)
            assert echoes("::1", 7007)
            assert world.run(lambda: echoes(HOST4, 7007))


@on_private_host
def test_ports_that_the_kernel_chooses() -> None:
    with engine_here() as engine:
        body = {"80/tcp": [{}], "81/tcp": [{"HostPort": "0"}]}
        id_ = engine.run_container("busybox", *SERVER, PortBindings=body)
        chosen = published(engine, id_)
        assert chosen["0.0.0.0"] == chosen["::"] > 1024
        assert says("127.0.0.1", chosen["0.0.0.0"]) == id_[:12]
        all_ports = engine.run_container(
            "busybox", *SERVER, ExposedPorts={"80/tcp": {}}, PublishAllPorts=True
        )
        assert says("127.0.0.1", published(engine, all_ports)["0.0.0.0"]) == all_ports[:12]


@on_private_host
def test_a_hundred_ports() -> None:
    with engine_here() as engine:
        id_ = engine.run_container(
            "busybox",
            *SERVER,
            PortBindings={"80/tcp": [{"HostPort": str(9000 + n)} for n in range(100)]},
        )
        assert [says("127.0.0.1", port) for port in (9000, 9050, 9099)] == [id_[:12]] * 3
        engine.client.call("DELETE", f"/containers/{id_}?force=1")
        assert all(is_shut("127.0.0.1", port) for port in (9000, 9050, 9099))


@on_private_host
def test_ports_that_are_taken() -> None:
    with engine_here() as engine:
        bindings = {"80/tcp": [{"HostPort": "8080"}]}
        first = engine.run_container("busybox", *SERVER, PortBindings=bindings)
        second = engine.create("busybox", *SERVER, PortBindings=bindings)
        with pytest.raises(Conflict, match="port is already allocated"):
            engine.start_container(second)
        with socket.create_server(("0.0.0.0", 9090)):
            third = engine.create(
                "busybox", *SERVER, PortBindings={"80/tcp": [{"HostPort": "9090"}]}
            )
            with pytest.raises(Conflict, match="address already in use"):
                engine.start_container(third)
        state = engine.inspect(second)["State"]
        assert (state["Status"], "already allocated" in state["Error"]) == ("created", True)
        # Free again as soon as the one that had it has ended, in every way of ending.
        for end in ("stop?t=0", "kill"):
            engine.client.post(f"/containers/{first}/{end}")
            engine.wait(first)
            engine.start_container(second)
            assert says("127.0.0.1", 8080) == second[:12]
            first, second = second, first
        engine.client.call("DELETE", f"/containers/{first}?force=1")
        engine.start_container(second)
        assert says("127.0.0.1", 8080) == second[:12]


@on_private_host
def test_a_start_that_fails_leaves_its_ports_free() -> None:
    with engine_here() as engine:
        bindings = {"80/tcp": [{"HostPort": "8080"}]}
        id_ = engine.create("busybox", "nope", PortBindings=bindings)
        for _ in range(5):
            with pytest.raises(InvalidArgument, match="not found"):
                engine.start_container(id_)
        engine.run_container("busybox", *SERVER, PortBindings=bindings)
        assert engine.inspect(id_)["NetworkSettings"]["Ports"] == {}


@on_private_host
def test_the_hosts_own_rules_hold() -> None:
    """Escape table B.9, firewall bypass: what INPUT drops stays dropped."""
    world = outside()
    with engine_here() as engine:
        id_ = engine.run_container(
            "busybox", *SERVER, PortBindings={"80/tcp": [{"HostPort": "8080"}]}
        )
        assert world.run(lambda: says(HOST4, 8080)) == id_[:12]
        rules = (
            "table inet mine {",
            "chain in {",
            "type filter hook input priority 0;",
            "iifname uplink tcp dport 8080 drop",
            "}",
            "}",
        )
        subprocess.run(["nft", "-f", "-"], check=True, input="\n".join(rules).encode())
        assert world.run(lambda: is_shut(HOST4, 8080))
        assert says("127.0.0.1", 8080) == id_[:12]


@on_private_host
def test_no_network() -> None:
    with engine_here() as engine:
        said = engine.says(
            "busybox", "sh", "-c", "ls /sys/class/net; ip route", NetworkMode="none",
            PortBindings={"80/tcp": [{"HostPort": "8080"}]},
        )  # fmt: skip
        assert said == "lo\n"
        id_ = engine.create("busybox", "true", NetworkMode="none")
        assert engine.inspect(id_)["NetworkSettings"]["Networks"]["none"]["NetworkID"]


@on_private_host
def test_the_hosts_network() -> None:
    outside()
    with engine_here() as engine:
        said = engine.says(
            "busybox", "sh", "-c", "ls /sys/class/net; hostname; readlink /proc/self/ns/net",
            NetworkMode="host",
        )  # fmt: skip
        lines = said.splitlines()
        assert lines[-1] == os.readlink("/proc/self/ns/net")
        assert lines[-2] == os.uname().nodename


@on_private_host
def test_a_network_that_is_not_there() -> None:
    with engine_here() as engine:
        id_ = engine.create("busybox", "true", NetworkMode="nope")
        with pytest.raises(Error, match="network nope not found"):
            engine.start_container(id_)
        engine.inspect(id_)


@on_private_host
def test_a_network_without_a_bridge_is_asked_for_by_its_name() -> None:
    with engine_here() as engine:
        engine.run_container("busybox", "true")  # now the networks are there
        for network in engine.client.get("/networks"):
            id_ = engine.create("busybox", "true", NetworkMode=network["Id"])
            if network["Driver"] == "bridge":
                engine.start_container(id_)
            else:
                with pytest.raises(InvalidArgument, match=f"{network['Name']} is asked for by"):
                    engine.start_container(id_)


@on_private_host
def test_an_address_that_the_host_does_not_have() -> None:
    with engine_here() as engine:
        bindings = {"80/tcp": [{"HostIp": "192.0.2.99", "HostPort": "80"}]}
        id_ = engine.create("busybox", "true", PortBindings=bindings)
        with pytest.raises(Unavailable, match="the host has no such address"):
            engine.start_container(id_)


@on_private_host
def test_everything_is_given_back() -> None:
    with engine_here() as engine:
        before: set[str] | None = None
        for _ in range(3):
            ids = [
                engine.run_container("busybox", *SERVER, PortBindings={"80/tcp": [{}]})
                for _ in range(4)
            ]
            addresses = {engine.inspect(i)["NetworkSettings"]["IPAddress"] for i in ids}
            assert len(addresses) == 4
            for id_ in ids:
                engine.client.call("DELETE", f"/containers/{id_}?force=1")
            left = eventually(_ports_of_bridge, lambda found: not found)
            assert left == set()
            assert engine.client.get("/networks/bridge")["Containers"] == {}
            before = before or addresses


def _ports_of_bridge() -> set[str]:
    links = subprocess.run(
        ["ip", "-o", "link", "show", "type", "veth"], check=True, capture_output=True, text=True
    )
    return {line.split(":")[1].strip() for line in links.stdout.splitlines()}


@on_private_host
def test_ports_stay_open_while_the_engine_is_replaced() -> None:
    with engine_here() as engine:
        id_ = engine.run_container(
            "busybox", *SERVER, PortBindings={"80/tcp": [{"HostPort": "8080"}]}
        )
        assert says("127.0.0.1", 8080) == id_[:12]
        for _ in range(3):
            engine.kill()
            assert says("127.0.0.1", 8080) == id_[:12]
            engine.start()
            assert says("127.0.0.1", 8080) == id_[:12]
        engine.client.post(f"/containers/{id_}/kill")
        engine.wait(id_)
        assert is_shut("127.0.0.1", 8080)


@on_private_host
def test_rules_that_somebody_flushed_are_restored() -> None:
    """Escape table B.9, CVE-2025-54388: isolation does not end with a reload of rules."""
    with engine_here() as engine:
        engine.run_container("busybox", "sleep", "1000")
        rules = _rules()
        assert "casemate" in rules
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        eventually(_rules, lambda now: now == rules)


def _rules() -> str:
    listed = subprocess.run(["nft", "list", "ruleset"], check=True, capture_output=True, text=True)
    return listed.stdout
