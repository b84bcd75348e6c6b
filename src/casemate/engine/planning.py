"""Show a plan without making anything: the steps, and what stands beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from casemate.engine import parents, peers, sharing
from casemate.engine.bundle import Bundle, identify, make_bundle
from casemate.engine.create import describe
from casemate.engine.engine import Engine
from casemate.engine.model import Config, CreateRequest, HostConfig, PortBinding
from casemate.engine.rooms import attached
from casemate.walls.resources import limits


class Planned(NamedTuple):
    """The bundle of a container that is not made.

    What the engine does before the start is no step of the plan: ``network`` is where the
    container would be, ``ports`` what would be published, ``limits`` what its cgroup would be
    told, by the names of ``linux.cgroups.values.Limits``.
    """

    bundle: Bundle
    network: str
    ports: tuple[str, ...]
    limits: dict[str, int | str]

    def describe(self) -> str:
        """Return all of it for people."""
        told = [("network", self.network), *(("port", port) for port in self.ports)]
        told += [(name, str(value)) for name, value in self.limits.items()]
        beside = "\n".join(f"{name:>19}  {value}" for name, value in told)
        return f"# by the engine, before the start\n{beside}\n{self.bundle.plan.describe()}"


def planned(engine: Engine, request: CreateRequest) -> Planned:
    """Return the plan of the container that ``request`` would make. Raises as ``create``.

    The last name of a cgroup is really chosen when the room is made, before it is a container's.
    """
    record = describe(engine, request)
    config, host = record.fixed.config, record.fixed.host
    identity = identify(engine, record, engine.snapshots.view(record.fixed.layers))
    root = engine.snapshots.planned(record.id, record.fixed.layers)
    cgroup = f"{parents.path(engine, record)}/{record.id}"
    with peers.held(engine, record) as shared:
        bundle = make_bundle(engine, record, root, identity, shared, cgroup)
    found = limits(bundle.spec.linux.resources)._replace(devices=())._asdict()
    return Planned(
        bundle._replace(plan=attached(bundle.plan, engine.cgroup(cgroup))),
        sharing.network(host, config),
        tuple(_ports(config, host)),
        {name: value for name, value in found.items() if value not in (None, "", ())},
    )


def _ports(config: Config, host: HostConfig) -> Iterator[str]:
    bound = host.port_bindings or {}
    for port, bindings in bound.items():
        for binding in bindings or [PortBinding()]:
            place = f"{binding.host_ip or '*'}:{binding.host_port or '(any)'}"
            yield f"{place} to {port}"
    if host.publish_all_ports:
        yield from (
            f"*:(any) to {port}" for port in config.exposed_ports or () if port not in bound
        )
