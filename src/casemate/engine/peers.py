"""Other containers whose namespaces one shares: found and held while it starts.

A pidfd is taken of each one's first process. What it names cannot become another process, whatever
happens meanwhile, and no path that a container could change leads to it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from casemate.engine import sharing
from casemate.engine.engine import Engine
from casemate.engine.records import Record
from casemate.errors import Conflict, Error, InvalidArgument, NotFound


class Peer(NamedTuple):
    """The container whose namespace is shared; ``descriptor`` is a pidfd of its process ``pid``."""

    record: Record
    pid: int
    descriptor: int


Peers = Mapping[str, Peer]  # by the kind of namespace


@contextlib.contextmanager
def held(engine: Engine, record: Record) -> Iterator[Peers]:
    """Give the containers that ``record`` shares namespaces with.

    Raises Conflict when one of them does not run, InvalidArgument when it may not be joined.
    """
    wanted = sharing.of(record.fixed.host, record.fixed.config).peers
    with contextlib.ExitStack() as opened:
        found: dict[str, Peer] = {}
        for kind, name in wanted.items():
            found[kind] = peer = _peer(engine, record, kind, name)
            opened.callback(os.close, peer.descriptor)
        yield found


def hostname(engine: Engine, record: Record) -> str:
    """Return the host name: the asked one, that of who owns network or names, or the short id."""
    config = record.fixed.config
    if config.hostname:
        return config.hostname
    shared = sharing.of(record.fixed.host, config)
    if sharing.HOST in (shared.network, shared.uts):
        return os.uname().nodename
    with contextlib.suppress(NotFound, InvalidArgument):
        other = engine.records.find(shared.peers.get("network", ""))
        if other.id != record.id:
            return hostname(engine, other)
    return record.short


def _peer(engine: Engine, record: Record, kind: str, name: str) -> Peer:
    try:
        other = engine.records.find(name)
    except NotFound as error:
        raise InvalidArgument(_joining(kind, str(error))) from error
    if other.id == record.id:
        raise InvalidArgument(f"cannot join own {kind} namespace")
    if kind == "ipc" and other.fixed.host.ipc_mode != "shareable":
        raise InvalidArgument(
            f"container {name}: non-shareable IPC"
            " (hint: use IpcMode:shareable for the donor container)"
        )
    shim = engine.live(other.id).shim
    if shim is None or not other.active:
        raise _not_running(other, kind)
    try:
        descriptor = os.pidfd_open(shim.room_pid)
    except ProcessLookupError:
        raise _not_running(other, kind) from None
    if shim.first.exited.done() or shim.gone.done():
        os.close(descriptor)  # it may be another's: the number was free before it was opened
        raise _not_running(other, kind)
    return Peer(other, shim.room_pid, descriptor)


def _not_running(other: Record, kind: str) -> Error:
    if kind == "network":
        return Conflict(
            "cannot join network namespace of a non running container:"
            f" container {other.name} is {other.state.status}"
        )
    return Conflict(_joining(kind, f"container {other.name} is not running"))


def _joining(kind: str, reason: str) -> str:
    shown = kind if kind == "network" else kind.upper()
    return f"joining {shown} namespace of container: {reason}"
