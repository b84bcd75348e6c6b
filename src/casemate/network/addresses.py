"""The allocation of addresses, inside a transaction of the caller.

An address that was given back is not given again before all others of the pool had their turn:
a neighbour's cache, a log or a firewall rule that still means the old container stays harmless.
"""

from __future__ import annotations

import heapq
import ipaddress
import sqlite3
from collections.abc import Iterator

from casemate.errors import AlreadyExists, InvalidArgument, Unavailable
from casemate.network.model import Address, Prefix, Subnet
from casemate.network.subnets import edges

SCHEMA = """
CREATE TABLE lease (
    network TEXT NOT NULL,
    address BLOB NOT NULL,
    container TEXT NOT NULL,
    PRIMARY KEY (network, address),
    FOREIGN KEY (container, network) REFERENCES endpoint(container, network)
        ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
) STRICT, WITHOUT ROWID;
CREATE INDEX lease_of_endpoint ON lease(container, network);
CREATE TABLE last_lease (
    network TEXT NOT NULL REFERENCES network(id) ON DELETE CASCADE,
    prefix TEXT NOT NULL,
    address BLOB NOT NULL,
    PRIMARY KEY (network, prefix)
) STRICT, WITHOUT ROWID;
"""


def allocate(
    connection: sqlite3.Connection, network: str, subnet: Subnet, container: str
) -> Address:
    """Lease the next free address of ``subnet`` to ``container``.

    Raises Unavailable when the pool is exhausted.
    """
    first, last = int(subnet.pool[0]), int(subnet.pool[-1])
    row = connection.execute(
        "SELECT address FROM last_lease WHERE network = ? AND prefix = ?",
        (network, str(subnet.prefix)),
    ).fetchone()
    start = int.from_bytes(row[0], "big") + 1 if row else first
    if not first <= start <= last:
        start = first
    free = _first_free(connection, network, subnet, range(start, last + 1))
    if free is None:
        free = _first_free(connection, network, subnet, range(first, start))
    if free is None:
        raise Unavailable(
            f"cannot connect to network {network}: no free address is left in {subnet.pool}",
            hint="remove containers that are not used, or make a network with a larger subnet",
        )
    _lease(connection, network, free, container)
    connection.execute(
        "INSERT INTO last_lease VALUES (?, ?, ?)"
        " ON CONFLICT(network, prefix) DO UPDATE SET address = excluded.address",
        (network, str(subnet.prefix), free.packed),
    )
    return free


def claim(
    connection: sqlite3.Connection,
    network: str,
    subnet: Subnet,
    container: str,
    address: Address,
) -> None:
    """Lease exactly ``address``; raises InvalidArgument, or AlreadyExists when it is taken."""
    what = f"cannot give {address} to container {container}"
    if address not in subnet.prefix or address in edges(subnet.prefix):
        raise InvalidArgument(f"{what}: not a host address of {subnet.prefix}")
    if address == subnet.gateway or address in subnet.reserved.values():
        raise AlreadyExists(f"{what}: it is reserved on network {network}")
    try:
        _lease(connection, network, address, container)
    except sqlite3.IntegrityError as error:
        raise AlreadyExists(f"{what}: it is in use on network {network}") from error


def _lease(connection: sqlite3.Connection, network: str, address: Address, container: str) -> None:
    connection.execute("INSERT INTO lease VALUES (?, ?, ?)", (network, address.packed, container))


def _first_free(
    connection: sqlite3.Connection, network: str, subnet: Subnet, candidates: range
) -> Address | None:
    """Return the lowest address in ``candidates`` that is neither leased nor reserved."""
    if not candidates:
        return None
    low, high = candidates[0], candidates[-1]
    kept = sorted(int(one) for one in _reserved(subnet) if low <= int(one) <= high)
    free = low
    for used in heapq.merge(_leased(connection, network, subnet.prefix, low, high), kept):
        if used > free:
            break
        free = used + 1
    if free > high:
        return None
    kind = ipaddress.IPv4Address if subnet.prefix.version == 4 else ipaddress.IPv6Address
    return kind(free)


def _reserved(subnet: Subnet) -> set[Address]:
    return {*edges(subnet.prefix), subnet.gateway, *subnet.reserved.values()}


def _leased(
    connection: sqlite3.Connection, network: str, prefix: Prefix, low: int, high: int
) -> Iterator[int]:
    size = prefix.max_prefixlen // 8
    rows = connection.execute(
        "SELECT address FROM lease WHERE network = ? AND address BETWEEN ? AND ?"
        " AND length(address) = ? ORDER BY address",
        (network, low.to_bytes(size, "big"), high.to_bytes(size, "big"), size),
    )
    return (int.from_bytes(row[0], "big") for row in rows)
