"""The host's end of published ports: ordinary listening sockets.

The relay that outlives the engine inherits them. Because a packet for a published port ends at
the host, its INPUT rules decide about it, and a port on 127.0.0.1 is not to be reached from the
network.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from casemate.errors import Conflict, Error, PermissionDenied, Unavailable, from_os
from casemate.network.model import Address
from casemate.network.ports import EPHEMERAL, Publication

_BACKLOG = 4096  # the kernel lowers it to net.core.somaxconn
_EPHEMERAL_ATTEMPTS = 64
_TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)

# Says whether a port belongs to another container: (protocol, address, port).
Ours = Callable[[str, str, int], bool]
#: Host ports of before, by container port, protocol and address.
Before = Mapping[tuple[int, str, str], int]


class Published(NamedTuple):
    """A published port: what was asked for, where it is, and the bound socket."""

    publication: Publication
    address: str
    port: int
    socket: socket.socket


def bind(
    publications: Iterable[Publication], ours: Ours, before: Before | None = None
) -> list[Published]:
    """Bind every publication, or none; a port for every address has a socket for each IP version.

    ``ours`` makes the message tell a port of another container from one of another program. Where
    the number is left open, that of ``before`` is taken if it is free. TCP sockets listen already.
    Raises Conflict for a port in use, PermissionDenied for one that this user may not have,
    InvalidArgument or Unavailable. The caller closes the sockets.
    """
    bound: list[Published] = []
    with contextlib.ExitStack() as undo:
        undo.callback(_close, bound)
        for publication in publications:
            bound += _bind(publication, ours, before or {})
        undo.pop_all()
    return bound


def _close(bound: Iterable[Published]) -> None:
    for one in bound:
        one.socket.close()


def _bind(publication: Publication, ours: Ours, before: Before) -> list[Published]:
    """Bind a publication to the first port that is free for all its addresses."""
    taken: Conflict | None = None
    for port in _numbers(publication, before):
        try:
            return _bind_port(publication, port, ours)
        except Conflict as error:
            taken = error
    assert taken is not None
    raise taken


def _numbers(publication: Publication, before: Before) -> list[int]:
    """Return the host ports to try, in order; 0 leaves the choice to the kernel."""
    address = _addresses(publication.address)[0]
    last = before.get((publication.container_port, publication.protocol, address), 0)
    if publication.host == EPHEMERAL:
        return [last] * bool(last) + [0] * _EPHEMERAL_ATTEMPTS
    numbers = publication.host.numbers()
    return [last] * (last in numbers) + [n for n in numbers if n != last]


def _bind_port(publication: Publication, port: int, ours: Ours) -> list[Published]:
    """Bind ``port`` on all addresses; a port that the kernel chose for one is used for all."""
    bound: list[Published] = []
    with contextlib.ExitStack() as undo:
        undo.callback(_close, bound)
        for address in _addresses(publication.address):
            wanted = bound[0].port if bound else port
            try:
                bound.append(_open(publication, address, wanted))
            except OSError as error:
                # A host without IPv6 publishes what it can.
                if not bound or error.errno not in _NO_IPV6:
                    raise _explained(publication, address, wanted, error, ours) from error
        undo.pop_all()
    return bound


def _addresses(address: Address | None) -> tuple[str, ...]:
    return ("0.0.0.0", "::") if address is None else (str(address),)


def _open(publication: Publication, address: str, port: int) -> Published:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, _TYPES[publication.protocol] | socket.SOCK_CLOEXEC)
    try:
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if publication.protocol == "tcp":
            # Connections of the last container on this port may still be in TIME_WAIT. Not for
            # UDP, where it would let two programs share the port.
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address, port))
        if publication.protocol == "tcp":
            opened.listen(_BACKLOG)
        return Published(publication, address, opened.getsockname()[1], opened)
    except BaseException:
        opened.close()
        raise


def _place(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _explained(
    publication: Publication, address: str, port: int, error: OSError, ours: Ours
) -> Error:
    place = _place(address, port)
    what = f"cannot publish {publication} on {place}"
    if error.errno == errno.EADDRINUSE:
        if ours(publication.protocol, address, port):
            return Conflict(
                f"{what}: Bind for {place} failed: port is already allocated",
                hint="another container has this port",
            )
        return Conflict(f"{what}: address already in use", hint="another program has this port")
    if error.errno == errno.EADDRNOTAVAIL:
        return Unavailable(f"{what}: the host has no such address")
    if error.errno == errno.EACCES:
        return PermissionDenied(
            f"{what}: this user may not bind ports below net.ipv4.ip_unprivileged_port_start",
            hint="choose a higher port",
        )
    if error.errno == errno.EMFILE:
        limit = os.sysconf("SC_OPEN_MAX")
        return Unavailable(
            f"{what}: more sockets than this process may open ({limit})",
            hint="publish fewer ports, or raise the limit of open files",
        )
    return from_os(error, what)
