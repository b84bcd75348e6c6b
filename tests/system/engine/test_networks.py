"""Networks of users: made, removed, and containers that come and go while they run."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

import pytest

from casemate.errors import (
    Conflict,
    Error,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unsupported,
)
from support.engine import RunningEngine, eventually
from support.hosted import SERVER, engine_here, published, says
from support.network_lab import needs_root, on_private_host
from support.networks import address, connect, disconnect, inside, network, on

pytestmark = [pytest.mark.root, needs_root]


def reaches(engine: RunningEngine, id_: str, where: str) -> bool:
    ask = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 1 {where} 80"
    return b"200 OK" in engine.exec(id_, "sh", "-c", ask).out


@on_private_host
def test_networks_come_and_go() -> None:
    with engine_here() as engine:
        id_ = network(engine, "one", "10.77.0.0/24", Labels={"a": "b"})
        found = engine.client.get("/networks/one")
        assert (found["Id"], found["Driver"], found["Labels"]) == (id_, "bridge", {"a": "b"})
        assert found["IPAM"]["Config"] == [{"Subnet": "10.77.0.0/24", "Gateway": "10.77.0.1"}]
        assert engine.client.get(f"/networks/{id_[:6]}")["Name"] == "one"
        with pytest.raises(Conflict, match="network with name one already exists"):
            network(engine, "one")
        names = {n["Name"] for n in engine.client.get('/networks?filters={"type":["custom"]}')}
        assert names == {"one"}
        dangling = engine.client.get('/networks?filters={"dangling":["true"]}')
        assert [n["Name"] for n in dangling] == ["one"]
        engine.client.call("DELETE", "/networks/one")
        with pytest.raises(NotFound, match="network one not found"):
            engine.client.get("/networks/one")
        with pytest.raises(PermissionDenied, match="predefined"):
            engine.client.call("DELETE", "/networks/bridge")
        links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True)
        assert f"br-{id_[:12]}" not in links.stdout


@on_private_host
def test_what_cannot_be_a_network_is_refused() -> None:
    with engine_here() as engine:
        cases: list[tuple[dict[str, Any], type[Error], str]] = [
            ({"Name": ""}, InvalidArgument, "name"),
            ({"Name": "a/b"}, InvalidArgument, "name"),
            ({"Name": "host"}, Conflict, "already exists"),
            ({"Name": "x", "Driver": "overlay"}, Unsupported, "overlay"),
            ({"Name": "x", "ConfigOnly": True}, Unsupported, "--config-only"),
            ({"Name": "x", "IPAM": {"Driver": "dhcp"}}, Unsupported, "--ipam-driver dhcp"),
            ({"Name": "x", "Options": {"bogus": "1"}}, Unsupported, "bogus"),
            (
                {"Name": "x", "IPAM": {"Config": [{"Gateway": "10.0.0.1"}]}},
                InvalidArgument,
                "subnet",
            ),
            ({"Name": "x", "IPAM": {"Config": [{"Subnet": "10.0.0.0/33"}]}}, InvalidArgument, "33"),
            ({"Name": "x", "EnableIPv4": False}, InvalidArgument, "neither"),
        ]
        for body, kind, match in cases:
            with pytest.raises(kind, match=match):
                engine.client.post("/networks/create", body)
        network(engine, "one", "10.77.0.0/24")
        with pytest.raises(Conflict):
            network(engine, "two", "10.77.0.128/25")
        assert not engine.fsck()


@on_private_host
def test_networks_are_apart_and_those_on_two_see_both() -> None:
    with engine_here() as engine:
        network(engine, "red")
        network(engine, "blue")
        server = on(engine, "red", command=SERVER)
        red, blue, both = on(engine, "red"), on(engine, "blue"), on(engine, "blue", "red")
        where = address(engine, server, "red")
        assert says(where, 80)
        assert reaches(engine, red, where) and reaches(engine, both, where)
        assert not reaches(engine, blue, where)
        assert set(engine.inspect(both)["NetworkSettings"]["Networks"]) == {"blue", "red"}
        assert inside(engine, both, "ip route | grep -c default") == "1"


@on_private_host
def test_a_container_is_connected_and_disconnected_while_it_runs() -> None:
    with engine_here() as engine:
        network(engine, "red")
        network(engine, "blue", "10.88.0.0/24")
        server = on(engine, "red", command=SERVER)
        other = on(engine, "blue")
        connect(engine, "blue", server, IPAMConfig={"IPv4Address": "10.88.0.77"}, Aliases=["www"])
        assert address(engine, server, "blue") == "10.88.0.77"
        assert reaches(engine, other, "10.88.0.77")
        assert "10.88.0.77" in inside(engine, server, "cat /etc/hosts")
        found = engine.inspect(server)["NetworkSettings"]["Networks"]["blue"]
        assert found["Aliases"] == ["www"] and "www" in found["DNSNames"]
        # The way out leads over what is left.
        gateway = engine.inspect(server)["NetworkSettings"]["Networks"]["red"]["Gateway"]
        assert f"default via {gateway}" in inside(engine, server, "ip route")
        disconnect(engine, "red", server)
        assert "default via 10.88.0.1" in inside(engine, server, "ip route")
        assert set(engine.inspect(server)["NetworkSettings"]["Networks"]) == {"blue"}
        disconnect(engine, "blue", server)
        assert not reaches(engine, other, "10.88.0.77")
        assert inside(engine, server, "ls /sys/class/net") == "lo"
        # What was connected is connected at the next start.
        connect(engine, "red", server)
        engine.client.post(f"/containers/{server}/restart?t=0")
        assert set(engine.inspect(server)["NetworkSettings"]["Networks"]) == {"red"}
        assert says(address(engine, server, "red"), 80)


@on_private_host
def test_published_ports_follow() -> None:
    with engine_here() as engine:
        network(engine, "red")
        network(engine, "blue")
        ports = {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}
        server = on(engine, "red", command=SERVER, PortBindings=ports)
        port = published(engine, server)["127.0.0.1"]
        name = says("127.0.0.1", port)
        connect(engine, "blue", server)
        disconnect(engine, "red", server)
        assert says("127.0.0.1", port) == name
        assert published(engine, server) == {"127.0.0.1": port}
        disconnect(engine, "blue", server)
        connect(engine, "red", server)
        assert says("127.0.0.1", port) == name


@on_private_host
def test_what_cannot_be_connected_is_refused() -> None:
    with engine_here() as engine:
        network(engine, "red", "10.66.0.0/24")
        one = on(engine, "red")
        host, none = (on(engine, mode) for mode in ("host", "none"))
        shares = on(engine, f"container:{one}")
        with pytest.raises(PermissionDenied, match="already exists in network red"):
            connect(engine, "red", one)
        for id_, match in ((host, "host network"), (none, "none"), (shares, "sharing network")):
            with pytest.raises(InvalidArgument, match=match):
                connect(engine, "red", id_)
        with pytest.raises(InvalidArgument, match="host network"):
            connect(engine, "host", one)
        with pytest.raises(InvalidArgument, match="user defined networks only"):
            connect(engine, "bridge", one, IPAMConfig={"IPv4Address": "172.17.0.9"})
        with pytest.raises(NotFound, match="not connected to network bridge"):
            disconnect(engine, "bridge", one)
        disconnect(engine, "bridge", one, force=True)
        with pytest.raises(NotFound, match="network nope not found"):
            connect(engine, "nope", one)
        network(engine, "blue", "10.67.0.0/24")
        taken = address(engine, one, "red")
        with pytest.raises(Error, match=taken):
            on(engine, "red", endpoints={"red": {"IPAMConfig": {"IPv4Address": taken}}})
        with pytest.raises(InvalidArgument, match="no subnet for it"):
            connect(engine, "blue", one, IPAMConfig={"IPv4Address": "10.1.1.1"})
        assert set(engine.inspect(one)["NetworkSettings"]["Networks"]) == {"red"}
        with pytest.raises(Conflict, match="active endpoints"):
            engine.client.call("DELETE", "/networks/red")
        assert engine.client.post("/networks/prune")["NetworksDeleted"] == ["blue"]


@on_private_host
def test_an_internal_network_leads_nowhere() -> None:
    with engine_here() as engine:
        network(engine, "inner", Internal=True)
        one = on(engine, "inner")
        assert "default" not in inside(engine, one, "ip route")
        network(engine, "outer")
        connect(engine, "outer", one)
        assert "default" in inside(engine, one, "ip route")


@on_private_host
def test_both_versions_of_the_internet_protocol() -> None:
    with engine_here() as engine:
        network(engine, "dual", EnableIPv6=True)
        network(engine, "four")
        one, two = on(engine, "dual", command=SERVER), on(engine, "four")
        connect(engine, "dual", two)
        for id_ in (one, two):
            settings = engine.inspect(id_)["NetworkSettings"]["Networks"]["dual"]
            assert settings["GlobalIPv6Address"] in inside(engine, id_, "ip -6 addr")
        six = engine.inspect(one)["NetworkSettings"]["Networks"]["dual"]["GlobalIPv6Address"]
        eventually(lambda: reaches(engine, two, six), bool)  # once nobody else has the address


@on_private_host
def test_a_chosen_hardware_address_and_a_name_of_ones_own() -> None:
    with engine_here() as engine:
        network(engine, "red")
        settings = {"MacAddress": "02:42:0a:00:00:99", "Aliases": ["db", "db", "store"]}
        one = on(engine, "red", endpoints={"red": settings})
        assert "02:42:0a:00:00:99" in inside(engine, one, "ip link show eth0")
        found = engine.inspect(one)["NetworkSettings"]["Networks"]["red"]
        assert found["MacAddress"] == "02:42:0a:00:00:99"
        name = engine.inspect(one)["Name"][1:]
        assert found["DNSNames"] == [name, "db", "store", one[:12]]


@on_private_host
def test_all_of_it_survives_a_kill() -> None:
    with engine_here() as engine:
        network(engine, "red")
        network(engine, "blue")
        server, other = on(engine, "red", "blue", command=SERVER), on(engine, "blue")
        where = address(engine, server, "blue")
        assert says(where, 80)
        engine.kill()
        engine.start()
        assert address(engine, server, "blue") == where and reaches(engine, other, where)
        disconnect(engine, "red", server)
        connect(engine, "red", server)
        assert says(address(engine, server, "red"), 80)
        assert not engine.fsck()


@on_private_host
def test_events_tell_of_networks() -> None:
    with engine_here() as engine:
        began = f"{time.time():.9f}"
        id_ = network(engine, "red")
        one = on(engine, "bridge")
        connect(engine, "red", one)
        disconnect(engine, "red", one)
        engine.client.call("DELETE", "/networks/red")
        path = f'/events?since={began}&until={time.time():.9f}&filters={{"type":["network"]}}'
        with engine.client.request("GET", path) as reply:
            events = [json.loads(line) for line in reply.lines()]
        told = [(e["Action"], e["Actor"]["Attributes"].get("container")) for e in events]
        assert {e["Actor"]["ID"] for e in events} == {id_}
        assert told == [("create", None), ("connect", one), ("disconnect", one), ("destroy", None)]
