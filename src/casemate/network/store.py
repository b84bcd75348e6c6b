"""Networks, endpoints and leases in the database.

A record is written before the thing it describes is made, and removed after it is gone, so that
a crash in between leaves a record without a thing, which ``reconcile`` sees, never the reverse.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from casemate.database import Database
from casemate.errors import AlreadyExists, Conflict, FailedPrecondition, InvalidArgument, NotFound
from casemate.network import addresses
from casemate.network.model import (
    HOST,
    NONE,
    Address,
    Endpoint,
    Interface,
    Network,
    Subnet,
    derived_mac,
    mac_of,
    parse_alias,
    parse_interface,
    parse_mac,
)
from casemate.network.options import parse as parse_options

_SCHEMA = """
CREATE TABLE network (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE endpoint (
    container TEXT NOT NULL,
    network TEXT NOT NULL REFERENCES network(id),
    interface TEXT NOT NULL,
    mac TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (container, network),
    UNIQUE (container, interface)
) STRICT, WITHOUT ROWID;
CREATE INDEX endpoint_on_network ON endpoint(network, mac);
"""
_ALIASES_MAX = 256
_ENDPOINTS_MAX = 128  # networks of one container


class Store:
    """The records of networks; of one engine."""

    def __init__(self, database: Database) -> None:
        """Make the tables and the two networks that always exist."""
        self._database = database
        database.migrate("network", [_SCHEMA + addresses.SCHEMA])
        with database.transaction() as connection:
            for network in (HOST, NONE):
                connection.execute(
                    "INSERT OR IGNORE INTO network VALUES (?, ?, ?)",
                    (network.id, network.name, _encode(network)),
                )

    def networks(self) -> list[Network]:
        """Return all networks, by name."""
        rows = self._database.query("SELECT body FROM network ORDER BY name")
        return [_network(row[0]) for row in rows]

    def network(self, text: str) -> Network:
        """Return the network with this id, name, or beginning of an id.

        Raises NotFound, or InvalidArgument when several ids begin so.
        """
        for column in ("id", "name"):
            rows = self._database.query(f"SELECT body FROM network WHERE {column} = ?", (text,))
            if rows:
                return _network(rows[0][0])
        rows = self._database.query(
            "SELECT body FROM network WHERE ? <> '' AND substr(id, 1, length(?)) = ? LIMIT 2",
            (text, text, text),
        )
        if len(rows) > 1:
            raise InvalidArgument(f"network {text} is ambiguous: several ids begin with it")
        if not rows:
            raise NotFound(f"network {text[:160]} not found")
        return _network(rows[0][0])

    def add(self, network: Network) -> None:
        """Record a new network; raises AlreadyExists, or Conflict for overlapping subnets."""
        with self._database.transaction() as connection:
            for other in self.networks():
                _require_disjoint(network, other)
            try:
                connection.execute(
                    "INSERT INTO network VALUES (?, ?, ?)",
                    (network.id, network.name, _encode(network)),
                )
            except sqlite3.IntegrityError as error:
                raise AlreadyExists(f"network with name {network.name} already exists") from error

    @contextlib.contextmanager
    def removing(self, network: Network) -> Iterator[None]:
        """Forget a network once the block, which takes it down, has succeeded.

        Nobody can connect meanwhile. Raises FailedPrecondition while containers are on it.
        """
        with self._database.transaction() as connection:
            used = [endpoint.container[:12] for endpoint in self.endpoints(network=network.id)]
            if used:
                shown = ", ".join(used[:10]) + (", ..." if len(used) > 10 else "")
                raise FailedPrecondition(
                    f"cannot remove network {network.name}: it has active endpoints ({shown})",
                    hint="stop or disconnect these containers first",
                )
            connection.execute("DELETE FROM network WHERE id = ?", (network.id,))
            yield

    def connect(
        self,
        network: Network,
        container: str,
        *,
        fixed: Sequence[Address] = (),
        mac: str | None = None,
        aliases: Sequence[str] = (),
        interface: str | None = None,
    ) -> Endpoint:
        """Record ``container`` on ``network`` and lease it an address of every subnet.

        ``fixed`` are addresses that the user chose. Raises AlreadyExists, InvalidArgument,
        Conflict, NotFound, or Unavailable when a pool is exhausted. A power loss may undo this:
        the container is gone then, too.
        """
        names = _aliases(aliases)
        chosen_mac = parse_mac(mac) if mac else None
        with self._database.transaction(durable=False) as connection:
            self.network(network.id)
            present = self.endpoints(container=container)
            if any(one.network == network.id for one in present):
                raise AlreadyExists(f"container {container} is already on network {network.name}")
            name = _interface(network, present, interface)
            given = _lease(connection, network, container, fixed)
            endpoint = Endpoint(
                container=container,
                network=network.id,
                interface=name,
                mac=chosen_mac or _free_mac(connection, network, container, given),
                addresses=given,
                gateways=() if network.internal else tuple(s.gateway for s in network.subnets),
                aliases=names,
            )
            if chosen_mac:
                _require_free_mac(connection, endpoint)
            connection.execute(
                "INSERT INTO endpoint VALUES (?, ?, ?, ?, ?)",
                (container, network.id, name, endpoint.mac, _encode(endpoint)),
            )
        return endpoint

    def disconnect(self, container: str, network: str) -> None:
        """Forget an endpoint and give its addresses back; one that is not there is no error."""
        with self._database.transaction(durable=False) as connection:
            connection.execute(
                "DELETE FROM endpoint WHERE container = ? AND network = ?", (container, network)
            )

    def endpoints(
        self, *, container: str | None = None, network: str | None = None
    ) -> list[Endpoint]:
        """Return the endpoints of a container or of a network (its id), or all, in order."""
        wanted = {"container": container, "network": network}
        given = {column: value for column, value in wanted.items() if value is not None}
        where = " AND ".join(f"{column} = ?" for column in given) or "TRUE"
        rows = self._database.query(
            f"SELECT body FROM endpoint WHERE {where} ORDER BY container, interface",
            tuple(given.values()),
        )
        return [_endpoint(row[0]) for row in rows]


def _aliases(aliases: Sequence[str]) -> tuple[str, ...]:
    if len(aliases) > _ALIASES_MAX:
        raise InvalidArgument(f"invalid network aliases: more than {_ALIASES_MAX}")
    return tuple(dict.fromkeys(parse_alias(alias) for alias in aliases))


def _interface(network: Network, present: Sequence[Endpoint], wanted: str | None) -> str:
    """Return the interface's name in the container: the wanted one, or the first free one."""
    taken = {one.interface for one in present}
    if wanted is not None:
        if parse_interface(wanted) in taken:
            raise Conflict(f"interface name {wanted} is in use in the container")
        return wanted
    prefix = parse_options(network.options).interface_prefix
    for number in range(_ENDPOINTS_MAX):
        if f"{prefix}{number}" not in taken:
            return f"{prefix}{number}"
    raise Conflict(f"cannot connect to network {network.name}: more than {_ENDPOINTS_MAX} networks")


def _lease(
    connection: sqlite3.Connection, network: Network, container: str, fixed: Sequence[Address]
) -> tuple[Interface, ...]:
    open_ = list(fixed)
    given = []
    for subnet in network.subnets:
        chosen = next((one for one in open_ if one in subnet.prefix), None)
        if chosen is None:
            address = addresses.allocate(connection, network.id, subnet, container)
        else:
            open_.remove(chosen)
            addresses.claim(connection, network.id, subnet, container, chosen)
            address = chosen
        given.append(ipaddress.ip_interface(f"{address}/{subnet.prefix.prefixlen}"))
    if open_:
        raise InvalidArgument(
            f"cannot give {open_[0]} to container {container}: network {network.name} has no"
            " subnet for it"
        )
    return tuple(given)


def _free_mac(
    connection: sqlite3.Connection,
    network: Network,
    container: str,
    given: Sequence[Interface],
) -> str:
    """Return the MAC address that follows from the address, unless a user chose just that."""
    if not given:
        return ""
    mac = mac_of(given[0].ip)
    if _owner_of_mac(connection, network.id, mac) is None:
        return mac
    return derived_mac(f"endpoint {container} {network.id}")


def _require_free_mac(connection: sqlite3.Connection, endpoint: Endpoint) -> None:
    owner = _owner_of_mac(connection, endpoint.network, endpoint.mac)
    if owner is not None:
        raise Conflict(
            f"cannot give MAC address {endpoint.mac} to container {endpoint.container}:"
            f" container {owner} has it on the same network"
        )


def _owner_of_mac(connection: sqlite3.Connection, network: str, mac: str) -> str | None:
    row = connection.execute(
        "SELECT container FROM endpoint WHERE network = ? AND mac = ?", (network, mac)
    ).fetchone()
    return row[0] if row else None


def _require_disjoint(network: Network, other: Network) -> None:
    for mine in network.subnets:
        for theirs in other.subnets:
            if mine.prefix.overlaps(theirs.prefix):
                raise Conflict(
                    f"cannot create network {network.name}: its subnet {mine.prefix} overlaps with"
                    f" {theirs.prefix} of network {other.name}"
                )
    if network.bridge and network.bridge == other.bridge:
        raise Conflict(
            f"cannot create network {network.name}: network {other.name} has the bridge"
            f" {network.bridge}"
        )


def _encode(value: Network | Endpoint) -> bytes:
    return msgspec.json.encode(value, enc_hook=str)


@functools.lru_cache(maxsize=256)
def _network(body: bytes) -> Network:
    record: dict[str, Any] = msgspec.json.decode(body)
    record["subnets"] = tuple(_subnet(subnet) for subnet in record["subnets"])
    return Network(**record)


def _subnet(record: Mapping[str, Any]) -> Subnet:
    return Subnet(
        prefix=ipaddress.ip_network(record["prefix"]),
        gateway=ipaddress.ip_address(record["gateway"]),
        pool=ipaddress.ip_network(record["pool"]),
        reserved={name: ipaddress.ip_address(one) for name, one in record["reserved"].items()},
    )


@functools.lru_cache(maxsize=4096)
def _endpoint(body: bytes) -> Endpoint:
    record: dict[str, Any] = msgspec.json.decode(body)
    record["addresses"] = tuple(ipaddress.ip_interface(one) for one in record["addresses"])
    record["gateways"] = tuple(ipaddress.ip_address(one) for one in record["gateways"])
    record["aliases"] = tuple(record["aliases"])
    return Endpoint(**record)
