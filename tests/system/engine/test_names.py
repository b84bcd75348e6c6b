"""Containers on a network of a user's find each other by their names, engine or not."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator

import pytest
from dnslib import QTYPE, RR, A, DNSRecord  # type: ignore[import-untyped]

from casemate.linux import pidfd
from casemate.names import protocol
from support.engine import RunningEngine, eventually
from support.hosted import engine_here
from support.network_lab import needs_root, on_private_host
from support.networks import address, connect, disconnect, inside, network, on

pytestmark = [pytest.mark.root, needs_root]


def named(engine: RunningEngine, name: str, *networks: str, **more: object) -> str:
    id_ = on(engine, *networks, **more)  # type: ignore[arg-type]
    engine.client.post(f"/containers/{id_}/rename?name={name}")
    return id_


def found(engine: RunningEngine, id_: str, name: str) -> set[str]:
    """Return the addresses of ``name`` as the container finds them."""
    out = engine.exec(id_, "nslookup", "-type=a", name).out.decode()
    _, _, answers = out.partition("\n\n")
    return {line.split()[1] for line in answers.splitlines() if line.startswith("Address:")}


@on_private_host
def test_names_and_aliases() -> None:
    with engine_here() as engine:
        network(engine, "red")
        web = named(engine, "web", "red", endpoints={"red": {"Aliases": ["www"]}})
        two = named(engine, "web2", "red", endpoints={"red": {"Aliases": ["www"]}})
        asker = named(engine, "asker", "red")
        first, second = (address(engine, id_, "red") for id_ in (web, two))
        for name in ("web", "WEB", "web.red", web[:12]):
            assert found(engine, asker, name) == {first}, name
        assert found(engine, asker, "www") == {first, second}
        assert found(engine, web, "asker") and found(engine, web, "web") == {first}
        reverse = engine.exec(asker, "nslookup", first).out.decode()
        assert "name = web.red" in reverse
        lines = inside(engine, asker, "cat /etc/resolv.conf").splitlines()
        assert lines[0] == "nameserver 127.0.0.11" and "options ndots:0" in lines
        # A container of the default network has nobody's name, and nobody has its.
        outsider = on(engine, "bridge")
        assert "127.0.0.11" not in inside(engine, outsider, "cat /etc/resolv.conf")


@on_private_host
def test_names_follow_those_who_come_and_go() -> None:
    with engine_here() as engine:
        network(engine, "red")
        network(engine, "blue")
        web, asker = named(engine, "web", "red"), named(engine, "asker", "blue")
        assert found(engine, asker, "web") == set()
        connect(engine, "blue", web, Aliases=["shop"])
        there = {address(engine, web, "blue")}
        assert found(engine, asker, "web") == found(engine, asker, "shop") == there
        engine.client.post(f"/containers/{web}/rename?name=other")
        assert found(engine, asker, "other") == there and found(engine, asker, "web") == set()
        disconnect(engine, "blue", web)
        assert found(engine, asker, "other") == set()
        connect(engine, "blue", web)
        engine.client.post(f"/containers/{web}/stop?t=0")
        eventually(lambda: found(engine, asker, "other"), lambda now: now == set())
        late = on(engine, "bridge")
        connect(engine, "blue", late)
        assert found(engine, late, "asker") == {address(engine, asker, "blue")}


@on_private_host
def test_names_are_found_without_an_engine_and_after_it() -> None:
    with engine_here() as engine:
        network(engine, "red")
        named(engine, "web", "red")
        asker = on(engine, "red", command=("sh", "-c", "while :; do nslookup web; sleep 0.1; done"))
        engine.kill()
        path = f"{engine.root}/containers/{asker}/log.json"
        before = os.path.getsize(path)
        eventually(lambda: os.path.getsize(path), lambda size: size > before + 4000)
        with open(path, encoding="utf-8") as file:
            assert "can't find" not in file.read()
        engine.start()
        more = named(engine, "more", "red")
        assert found(engine, asker, "more") == {address(engine, more, "red")}


@on_private_host
def test_a_name_server_that_was_killed_is_started_again() -> None:
    with engine_here() as engine:
        network(engine, "red")
        web, asker = named(engine, "web", "red"), named(engine, "asker", "red")
        os.kill(_name_server(engine), signal.SIGKILL)
        eventually(lambda: found(engine, asker, "web"), bool)
        assert found(engine, asker, "web") == {address(engine, web, "red")}


@on_private_host
def test_it_is_nobody_and_leaves_when_nobody_needs_it() -> None:
    with engine_here() as engine:
        network(engine, "red")
        id_ = named(engine, "web", "red")
        pid = _name_server(engine)
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            status = dict(line.split(":\t", 1) for line in file)
        assert set(status["Uid"].split() + status["Gid"].split()) == {"65534"}
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        process = os.pidfd_open(pid)
        engine.client.call("DELETE", f"/containers/{id_}?force=1")
        engine.stop()
        try:
            eventually(lambda: pidfd.has_ended(process), bool)
        finally:
            os.close(process)
        engine.start()


@on_private_host
def test_other_names_are_asked_for_elsewhere() -> None:
    with engine_here() as engine, upstream() as asked:
        network(engine, "red")
        network(engine, "dark", Internal=True)
        one = on(engine, "red", Dns=["127.0.0.53"])
        dark = on(engine, "dark", Dns=["127.0.0.53"])
        assert found(engine, one, "somewhere.example") == {"192.0.2.99"}
        assert found(engine, dark, "somewhere.example") == set()
        assert {name for name in asked if "example" in name} == {"somewhere.example"}


@on_private_host
def test_port_53_is_the_containers_own() -> None:
    with engine_here() as engine:
        network(engine, "red")
        own = named(engine, "own", "red", command=("httpd", "-f", "-p", "53"))
        assert engine.inspect(own)["State"]["Running"]
        assert found(engine, own, "own") == {address(engine, own, "red")}


@contextlib.contextmanager
def upstream() -> Iterator[list[str]]:
    """A name server of the host, for which every name has one address; gives what it is asked."""
    asked: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.53", 53))

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    data, who = server.recvfrom(4096)
                    query = DNSRecord.parse(data)
                    asked.append(str(query.q.qname).rstrip("."))
                    reply = query.reply()
                    if query.q.qtype == QTYPE.A:
                        reply.add_answer(RR(query.q.qname, QTYPE.A, rdata=A("192.0.2.99")))
                    server.sendto(reply.pack(), who)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield asked


def _name_server(engine: RunningEngine) -> int:
    """Return the pid of the name server of this engine: who listens at its socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(f"{engine.run}/names.sock")
        return protocol.decode_hello(client.recv(protocol.MAX_BYTES)).pid
