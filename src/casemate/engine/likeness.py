"""What a start needs to know; of containers that are alike it is made once.

Containers of one image that ask for the same differ in their ids, in what they run and in its
environment, and by nothing else: neither what looks at the host (binds, devices, volumes) nor what
joins others is alike. A plan takes a good part of a start's time. So it is made for an id that
stands for any, and every container's own is put in its place: all ids are of one length.
"""

from __future__ import annotations

import functools
import secrets
from typing import NamedTuple

import msgspec

from casemate.engine import peers, systems, translate
from casemate.engine.bundle import make_bundle
from casemate.engine.engine import Engine
from casemate.engine.peers import Peers
from casemate.engine.records import Record
from casemate.linux.cgroups.values import Limits
from casemate.runtime.likeness import Likeness
from casemate.runtime.plan import Plan
from casemate.runtime.steps import step
from casemate.snapshot.mounts import RootMount
from casemate.spec.identity import Identity
from casemate.walls.resources import limits

#: Told to nobody, so that nothing that a user writes has it in it.
_ANY = secrets.token_hex(32)
_SHORT = 12


class Start(NamedTuple):
    """A start: the plan, its file, the limits of the cgroup, and whose namespaces are joined.

    Of the plan's texts an id may be one that stands for any; those in the file are the container's.
    """

    plan: Plan
    file: bytes
    limits: Limits
    peers: Peers


def start_of(
    engine: Engine, record: Record, root: RootMount, identity: Identity, shared: Peers
) -> Start:
    """Return the start of ``record``. Raises what ``make_bundle`` raises."""
    if _is_one_of_many(record, shared):
        # Also what is asked of the engine: a network of that name may be another one by now.
        ipv6 = engine.networking.speaks_ipv6(record)
        key = msgspec.msgpack.encode(_common(record).fixed), root.lower, identity, ipv6
        make = functools.partial(_likeness, engine, record, root, identity)
        return _own(engine, record, identity, engine.likenesses.get(key, make))
    bundle = make_bundle(engine, record, root, identity, shared)
    found = limits(bundle.spec.linux.resources)
    return Start(bundle.plan, bundle.plan.start_file(), found, shared)


def _is_one_of_many(record: Record, shared: Peers) -> bool:
    fixed = record.fixed
    special = fixed.first_id or fixed.mounts or fixed.host.devices or systems.of(fixed.host)
    return not special and not shared


def _common(record: Record) -> Record:
    """Return ``record`` with an id that stands for any, and nothing to run.

    What is run and its environment may hold secrets: they are not to stay when the container is
    gone.
    """
    config = msgspec.structs.replace(
        record.fixed.config, env=None, cmd=None, entrypoint=None, labels=None
    )
    fixed = msgspec.structs.replace(record.fixed, args=("/",), config=config)
    return msgspec.structs.replace(record, id=_ANY, fixed=fixed)


def _likeness(engine: Engine, record: Record, root: RootMount, identity: Identity) -> Likeness:
    upper, work = (path and path.replace(record.id, _ANY) for path in (root.upper, root.work))
    anybodys = root._replace(upper=upper, work=work)
    bundle = make_bundle(engine, _common(record), anybodys, identity, {})
    found = limits(bundle.spec.linux.resources)
    return Likeness(bundle.plan, bundle.plan.open_start_file(), found)


def _own(engine: Engine, record: Record, identity: Identity, like: Likeness) -> Start:
    env = translate.variables(record, peers.hostname(engine, record), identity)
    file = like.file
    for size in (len(_ANY), _SHORT):
        file = file.replaced(_ANY[:size].encode(), record.id[:size].encode())
    return Start(like.plan, file.ended(step("exec", record.fixed.args, env)), like.limits, {})
