"""Show a plan without making anything."""

from __future__ import annotations

from casemate.engine.bundle import Bundle, identify, make_bundle
from casemate.engine.create import describe
from casemate.engine.engine import Engine
from casemate.engine.model import CreateRequest
from casemate.engine.rooms import attach


def planned(engine: Engine, request: CreateRequest) -> Bundle:
    """Return the bundle of the container that ``request`` would make. Raises as ``create``."""
    record = describe(engine, request)
    view = engine.snapshots.view(record.fixed.layers)
    identity = identify(engine, record, view)
    directory = f"{engine.paths.root}/snapshots/{record.id}"
    root = view._replace(upper=f"{directory}/upper", work=f"{directory}/work")
    cgroup = f"{engine.settings.name}/{record.id}"
    bundle = make_bundle(engine, record, root, identity, cgroup)
    return bundle._replace(plan=bundle.plan._replace(outside=attach(engine.cgroup(cgroup))))
