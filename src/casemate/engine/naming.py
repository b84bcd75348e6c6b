"""The names by which containers on a network of a user's find each other."""

from __future__ import annotations

import logging
import os

from casemate.engine import namefiles
from casemate.engine.engine import Engine
from casemate.engine.records import Attachment, Record
from casemate.engine.threads import in_thread
from casemate.errors import Error
from casemate.names.protocol import Container, Place
from casemate.network import resolving
from casemate.network.request import DEFAULT
from casemate.supervise.shim import Shim

_LOG = logging.getLogger("casemate.names")


def names_of(record: Record, attachment: Attachment) -> tuple[str, ...]:
    """Return the names of a container on one network: its own, aliases, the short id, its host
    name. Each one once, in this order.
    """
    own = record.fixed.config.hostname
    names = (record.name, *attachment.aliases, record.short, *((own,) if own else ()))
    return tuple(dict.fromkeys(names))


async def serve(engine: Engine, record: Record, shim: Shim) -> None:
    """Have the container find others by their names, and them it; it is being started, or runs.

    Nothing is done for one that is only on the default network, where nobody has a name. Raises
    Error.
    """
    if not namefiles.has_names(record):
        return
    # It cannot be another's: the supervisor has not waited for it yet.
    process = os.pidfd_open(shim.room_pid)
    try:
        datagrams, streams = await in_thread(lambda: resolving.open_in(process))
        with datagrams, streams:
            descriptors = (datagrams.fileno(), streams.fileno(), process)
            await engine.names.tell(_known(engine, record), descriptors)
    finally:
        os.close(process)


async def tell(engine: Engine, record: Record) -> None:
    """Tell of a container that has other names, or other places. Raises Error."""
    shim = engine.live(record.id).shim
    if not record.active or shim is None:
        return
    if namefiles.has_names(record) and record.id not in engine.names.serving:
        await serve(engine, record, shim)
    elif record.id in engine.names.serving:
        await engine.names.tell(_known(engine, record))


async def recover(engine: Engine) -> None:
    """Have every container that runs find names as before; what fails is logged."""
    running = [r for r in engine.records.all() if r.active and namefiles.has_names(r)]
    if not running:
        return
    try:
        await engine.names.find()
    except Error as error:
        _LOG.error("%s", error)
        return
    for record in running:
        try:
            await tell(engine, record)
        except (Error, OSError) as error:
            _LOG.error("container %s has no name server: %s", record.name, error)


def _known(engine: Engine, record: Record) -> Container:
    wanted = {one.network: one for one in record.fixed.attachments}
    places = tuple(
        Place(
            network.id,
            network.name,
            names_of(record, wanted[network.name]),
            tuple(str(address.ip) for address in endpoint.addresses),
            network.internal,
        )
        for network, endpoint in engine.networking.places(record.id)
        if network.name != DEFAULT and network.name in wanted
    )
    return Container(record.id, places, namefiles.upstream(record))
