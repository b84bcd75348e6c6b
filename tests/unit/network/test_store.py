"""Records of networks and endpoints, and the leases of addresses."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casemate.database import Database
from casemate.errors import (
    AlreadyExists,
    Conflict,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from casemate.network import subnets
from casemate.network.model import HOST, NONE, Network, Subnet
from casemate.network.options import PREFIX
from casemate.network.store import Store


def _database(place: object) -> Database:
    return Database(f"{place}/engine.db")


@pytest.fixture
def database(tmp_path: object) -> Iterator[Database]:
    opened = _database(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def _network(number: int, *given: Subnet, **more: Any) -> Network:
    values = {"name": f"net{number}", "driver": "bridge", "bridge": f"br{number}", "mtu": 1500}
    return Network(f"{number:064x}", **{**values, "subnets": given, **more})  # type: ignore[arg-type]


def _added(store: Store, *given: Subnet, number: int = 1, **more: Any) -> Network:
    network = _network(number, *given, **more)
    store.add(network)
    return network


SMALL = subnets.parse("10.0.0.0/29")  # five addresses beside the gateway
DUAL = subnets.parse("fd00::/64", gateway="fd00::ff", reserved={"printer": "fd00::1"})


def test_a_network_comes_back_as_it_was(store: Store) -> None:
    network = _added(
        store,
        subnets.parse("10.0.0.0/24", pool="10.0.0.128/25", reserved={"nas": "10.0.0.200"}),
        DUAL,
        internal=True,
        labels={"a": "b"},
        options={"c": "d"},
        created_ns=5,
    )
    assert store.networks() == [HOST, network, NONE]
    assert store.network(network.id) == store.network("net1") == network
    assert store.network(network.id[:63]) == network


def test_the_two_networks_that_need_nothing_are_always_there(database: Database) -> None:
    for _ in range(2):
        assert [(one.name, one.driver) for one in Store(database).networks()] == [
            ("host", "host"),
            ("none", "null"),
        ]


def test_a_network_that_is_not_there_or_ambiguous_is_named(store: Store) -> None:
    for number in (1, 2):
        _added(store, number=number)
    with pytest.raises(NotFound, match="network nope not found"):
        store.network("nope")
    with pytest.raises(NotFound):
        store.network("")
    with pytest.raises(InvalidArgument, match="ambiguous"):
        store.network("000")


def test_names_bridges_and_subnets_are_not_shared(store: Store) -> None:
    _added(store, SMALL)
    with pytest.raises(AlreadyExists, match="network with name net1 already exists"):
        store.add(_network(2, name="net1"))
    with pytest.raises(Conflict, match=r"overlaps with 10\.0\.0\.0/29 of network net1"):
        store.add(_network(2, subnets.parse("10.0.0.0/24")))
    with pytest.raises(Conflict, match="network net1 has the bridge br1"):
        store.add(_network(2, bridge="br1"))
    assert len(store.networks()) == 3


def test_a_network_with_endpoints_is_not_removed(store: Store) -> None:
    network = _added(store, SMALL)
    store.connect(network, "c1")
    with (
        pytest.raises(FailedPrecondition, match=r"active endpoints \(c1\)"),
        store.removing(network),
    ):
        raise AssertionError("not reached")
    store.disconnect("c1", network.id)
    with pytest.raises(ZeroDivisionError), store.removing(network):
        raise ZeroDivisionError
    assert store.network("net1") == network
    with store.removing(network):
        pass
    with pytest.raises(NotFound):
        store.network("net1")


def test_an_endpoint_comes_back_as_it_was(store: Store) -> None:
    network = _added(store, SMALL, DUAL)
    endpoint = store.connect(network, "c1", aliases=["web", "web", "api.internal"])
    assert [str(one) for one in endpoint.addresses] == ["10.0.0.2/29", "fd00::2/64"]
    assert [str(one) for one in endpoint.gateways] == ["10.0.0.1", "fd00::ff"]
    assert endpoint.mac == "02:42:0a:00:00:02"
    assert endpoint.interface == "eth0"
    assert endpoint.aliases == ("web", "api.internal")
    assert store.endpoints(container="c1") == [endpoint]
    assert store.endpoints(network=network.id) == store.endpoints() == [endpoint]
    assert store.endpoints(container="c2") == []


def test_an_internal_network_has_no_gateways(store: Store) -> None:
    assert store.connect(_added(store, SMALL, internal=True), "c1").gateways == ()


def test_interfaces_are_numbered_by_the_first_free_number(store: Store) -> None:
    networks = [_added(store, number=number) for number in (1, 2, 3)]
    fourth = _added(store, number=4, options={PREFIX: "lan"})
    names = [store.connect(network, "c1").interface for network in networks]
    assert names == ["eth0", "eth1", "eth2"]
    store.disconnect("c1", networks[1].id)
    assert store.connect(networks[1], "c1").interface == "eth1"
    assert store.connect(fourth, "c1").interface == "lan0"
    assert store.connect(networks[0], "c2", interface="up0").interface == "up0"
    with pytest.raises(Conflict, match="interface name up0 is in use"):
        store.connect(networks[1], "c2", interface="up0")
    with pytest.raises(AlreadyExists, match="already on network net1"):
        store.connect(networks[0], "c1")


def test_a_chosen_address_is_given_or_refused(store: Store) -> None:
    network = _added(store, SMALL, DUAL)
    wanted = [ipaddress.ip_address(one) for one in ("fd00::abcd", "10.0.0.6")]
    endpoint = store.connect(network, "c1", fixed=wanted)
    assert [str(one.ip) for one in endpoint.addresses] == ["10.0.0.6", "fd00::abcd"]
    for text, kind, said in (
        ("10.0.0.6", AlreadyExists, "is in use"),
        ("10.0.0.1", AlreadyExists, "is reserved"),
        ("fd00::1", AlreadyExists, "is reserved"),
        ("10.0.0.7", InvalidArgument, "not a host address"),
        ("10.0.0.0", InvalidArgument, "not a host address"),
        ("fd00::", InvalidArgument, "not a host address"),
        ("10.9.9.9", InvalidArgument, "has no subnet for it"),
    ):
        with pytest.raises(kind, match=said):
            store.connect(network, "c2", fixed=[ipaddress.ip_address(text)])
    assert [one.container for one in store.endpoints()] == ["c1"]


def test_a_refusal_gives_back_what_was_leased_before_it(store: Store, database: Database) -> None:
    network = _added(store, SMALL, DUAL)
    with pytest.raises(AlreadyExists):
        store.connect(network, "c1", fixed=[ipaddress.ip_address("fd00::ff")])
    assert database.query("SELECT * FROM lease") == []
    assert database.query("SELECT * FROM last_lease") == []


def test_mac_addresses_are_not_shared_on_a_network(store: Store) -> None:
    network = _added(store, SMALL)
    chosen = store.connect(network, "c1", mac="02-42-0A-00-00-03")
    assert chosen.mac == "02:42:0a:00:00:03"
    with pytest.raises(Conflict, match="container c1 has it"):
        store.connect(network, "c2", mac="02:42:0a:00:00:03")
    # The address that would lead to the same one gets another, rather than an error.
    third = store.connect(network, "c3")
    assert str(third.addresses[0].ip) == "10.0.0.3"
    assert third.mac not in (chosen.mac, "02:42:0a:00:00:03")


def test_an_address_given_back_is_the_last_to_be_given_again(store: Store) -> None:
    network = _added(store, SMALL)
    given = []
    for number in range(5):
        given.append(str(store.connect(network, f"c{number}").addresses[0].ip))
        store.disconnect(f"c{number}", network.id)
    assert given == [f"10.0.0.{number}" for number in range(2, 7)]
    assert str(store.connect(network, "again").addresses[0].ip) == "10.0.0.2"


def test_an_exhausted_pool_is_an_error_until_an_address_is_given_back(store: Store) -> None:
    network = _added(store, SMALL)
    for number in range(5):
        store.connect(network, f"c{number}")
    with pytest.raises(Unavailable, match=r"no free address is left in 10\.0\.0\.0/29"):
        store.connect(network, "c5")
    store.disconnect("c3", network.id)
    assert str(store.connect(network, "c5").addresses[0].ip) == "10.0.0.5"


def test_only_the_pool_is_given_but_all_of_the_subnet_may_be_chosen(store: Store) -> None:
    network = _added(store, subnets.parse("10.0.0.0/24", pool="10.0.0.252/30"))
    chosen = ipaddress.ip_address("10.0.0.77")
    assert store.connect(network, "c0", fixed=[chosen]).addresses[0].ip == chosen
    given = [str(store.connect(network, f"c{n}").addresses[0].ip) for n in (1, 2, 3)]
    assert given == ["10.0.0.252", "10.0.0.253", "10.0.0.254"]
    with pytest.raises(Unavailable):
        store.connect(network, "c4")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    prefix=st.sampled_from(["10.0.0.0/28", "10.1.0.0/29", "fd00::/124", "ac11::/125"]),
    steps=st.lists(st.tuples(st.integers(0, 12), st.booleans(), st.integers(0, 15)), max_size=60),
)
def test_no_two_endpoints_ever_have_the_same_address(
    prefix: str, steps: list[tuple[int, bool, int]]
) -> None:
    with tempfile.TemporaryDirectory() as place, contextlib.closing(_database(place)) as database:
        store, subnet = Store(database), subnets.parse(prefix)
        network = _added(store, subnet)
        usable = {*subnet.prefix} - {*subnets.edges(subnet.prefix), subnet.gateway}
        held: dict[str, object] = {}
        for who, fixed, which in steps:
            name = f"c{who}"
            if name in held:
                store.disconnect(name, network.id)
                del held[name]
                continue
            wanted = [subnet.prefix[which % subnet.prefix.num_addresses]] if fixed else []
            try:
                held[name] = store.connect(network, name, fixed=wanted).addresses[0].ip
            except Unavailable:
                assert set(held.values()) == usable
            except (AlreadyExists, InvalidArgument):
                assert wanted[0] not in usable or wanted[0] in held.values()
        assert len(set(held.values())) == len(held)
        assert set(held.values()) <= usable
        assert {one.container: one.addresses[0].ip for one in store.endpoints()} == held


def test_threads_never_get_the_same_address(store: Store) -> None:
    network = _added(store, subnets.parse("10.0.0.0/24"))

    def connect(first: int) -> None:
        for number in range(first, first + 25):
            store.connect(network, f"c{number}")

    threads = [threading.Thread(target=connect, args=(base,)) for base in range(0, 200, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.addresses[0] for one in store.endpoints()}) == 200


def test_leases_survive_a_killed_engine(tmp_path: object) -> None:
    path = f"{tmp_path}/engine.db"
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        store = Store(Database(path))
        network = _added(store, subnets.parse("10.0.0.0/16"))
        for number in range(10_000):
            address = store.connect(network, f"c{number}").addresses[0].ip
            os.write(writer, f"{address}\n".encode())
    os.close(writer)
    with open(reader) as file:
        promised = [file.readline().strip() for _ in range(50)]
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        promised += [line.strip() for line in file if line.endswith("\n")]
    database = Database(path)
    store = Store(database)
    held = {str(one.addresses[0].ip) for one in store.endpoints()}
    assert set(promised) <= held
    assert str(store.connect(store.network("net1"), "next").addresses[0].ip) not in held
    database.close()


def test_a_large_pool_that_is_nearly_full_is_still_searched_in_an_instant(store: Store) -> None:
    network = _added(store, subnets.parse("10.0.0.0/20"))
    whole = ipaddress.ip_network("10.0.0.0/20")
    with store._database.transaction() as connection:
        connection.execute("PRAGMA defer_foreign_keys = ON")
        connection.executemany(
            "INSERT INTO lease VALUES (?, ?, 'c0')",
            [(network.id, whole[n].packed) for n in range(2, 4000)],
        )
        connection.execute(
            "INSERT INTO endpoint VALUES ('c0', ?, 'eth0', 'x', x'7b7d')", (network.id,)
        )
    assert store.connect(network, "c1").addresses[0].ip == whole[4000]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"aliases": ["a b"]}, "network alias"),
        ({"aliases": ["a\n1.2.3.4 evil"]}, "network alias"),
        ({"aliases": ["a"] * 257}, "more than 256"),
        ({"mac": "ff:ff:ff:ff:ff:ff"}, "MAC address"),
        ({"mac": "01:00:5e:00:00:01"}, "MAC address"),
        ({"mac": "02:42"}, "MAC address"),
        ({"interface": "lo"}, "interface name"),
        ({"interface": "a/b"}, "interface name"),
        ({"interface": "..sixteen-letters"}, "interface name"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    store: Store, asked: dict[str, Any], said: str
) -> None:
    network = _added(store, SMALL)
    with pytest.raises(InvalidArgument, match=said):
        store.connect(network, "c1", **asked)
    assert store.endpoints() == []
