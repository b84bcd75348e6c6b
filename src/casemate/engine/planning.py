"""Show a plan without making anything."""

from __future__ import annotations

from casemate.engine import parents, peers
from casemate.engine.bundle import Bundle, identify, make_bundle
from casemate.engine.create import describe
from casemate.engine.engine import Engine
from casemate.engine.model import CreateRequest
from casemate.engine.rooms import attached


def planned(engine: Engine, request: CreateRequest) -> Bundle:
    """Return the bundle of the container that ``request`` would make. Raises as ``create``.

    The last name of a cgroup is really chosen when the room is made, before it is a container's.
    """
    record = describe(engine, request)
    identity = identify(engine, record, engine.snapshots.view(record.fixed.layers))
    root = engine.snapshots.planned(record.id, record.fixed.layers)
    cgroup = f"{parents.path(engine, record)}/{record.id}"
    with peers.held(engine, record) as shared:
        bundle = make_bundle(engine, record, root, identity, shared, cgroup)
    return bundle._replace(plan=attached(bundle.plan, engine.cgroup(cgroup)))
