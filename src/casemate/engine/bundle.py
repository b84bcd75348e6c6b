"""A container's record becomes its bundle: runtime spec, plan, and the files that are mounted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from casemate.engine import logoptions, networking, peers, security, sharing, translate
from casemate.engine.engine import Engine
from casemate.engine.model import Config, HostConfig
from casemate.engine.peers import Peers
from casemate.engine.records import Fixed, Record, State
from casemate.engine.translate import Surroundings
from casemate.oci.runtime import Mount, RuntimeSpec
from casemate.runtime.namespaces import container as containers
from casemate.runtime.namespaces.clone import PROC_NAMES
from casemate.runtime.namespaces.container import Container
from casemate.runtime.plan import Plan, Stdio
from casemate.snapshot.mounts import RootMount
from casemate.spec.identity import Identity
from casemate.spec.make import make
from casemate.walls import landlock
from casemate.walls.landlock import Ruleset
from casemate.walls.standard import SHM

_FILES = {"hosts": "/etc/hosts", "hostname": "/etc/hostname", "resolv.conf": "/etc/resolv.conf"}


class Bundle(NamedTuple):
    """Everything that a start needs to know, and the containers whose namespaces are joined."""

    spec: RuntimeSpec
    plan: Plan
    peers: Peers


def make_bundle(
    engine: Engine,
    record: Record,
    root: RootMount,
    identity: Identity,
    shared: Peers,
    cgroup: str = "",
) -> Bundle:
    """Return the bundle of ``record`` over the root ``root``. Reads the host, changes nothing.

    ``shared`` are the containers whose namespaces it joins, or would.
    """
    spec = runtime_spec(engine, record, identity, shared, cgroup)
    volatile = record.fixed.host.auto_remove
    sources = {m.source: os.path.isdir(m.source) for m in spec.mounts if "rbind" in m.options}
    container = Container(
        spec=spec,
        root=root._replace(volatile=volatile),
        seccomp=engine.filter(spec.linux.seccomp),
        landlock=rules(engine, record, spec, sources) if restricted(engine, record) else None,
        stdio=_stdio(record, identity),
        init=bool(record.fixed.host.init),
        directories=sources,
        borrowed={SHM.destination: "ipc"} if "ipc" in shared else {},
    )
    return Bundle(spec, containers.plan(container, engine.host), shared)


def runtime_spec(
    engine: Engine, record: Record, identity: Identity, shared: Peers, cgroup: str
) -> RuntimeSpec:
    """Return the runtime spec of ``record``."""
    profile = translate.profile_of(record.fixed.host, engine.machine)
    surroundings = Surroundings(
        hostname=peers.hostname(engine, record),
        cgroup=cgroup,
        files=_files(engine, record, shared),
        joined=tuple(
            (kind, f"/proc/{peer.pid}/ns/{PROC_NAMES[kind]}") for kind, peer in shared.items()
        ),
    )
    options = translate.options(record, identity, engine.machine, surroundings=surroundings)
    if "network" in options.namespaces:
        ipv6 = engine.networking.speaks_ipv6(record)
        early = tuple(networking.early_sysctls(ipv6=ipv6).items())
        options = options._replace(sysctls=(*early, *options.sysctls))
    spec = make(options, profile)
    annotations = record.fixed.host.annotations
    return msgspec.structs.replace(spec, annotations=annotations) if annotations else spec


def identify(engine: Engine, record: Record, root: RootMount) -> Identity:
    """Return who the container runs as."""
    groups = tuple(record.fixed.host.group_add or ())
    return engine.users.identify(root, record.fixed.layers, record.fixed.config.user, groups)


def file_names(record: Record) -> dict[str, str]:
    """Return the names of the files that are mounted, and where; not those the user mounts."""
    taken = {point.destination for point in record.fixed.mounts}
    return {name: path for name, path in _FILES.items() if path not in taken}


def _files(engine: Engine, record: Record, shared: Peers) -> tuple[Mount, ...]:
    """Return the mounts of the engine's own files: who shares a network shares these."""
    owner = shared["network"].record if "network" in shared else record
    directory = engine.paths.container(owner.id)
    options = ("rbind", "rprivate", *(("idmap",) if record.fixed.first_id else ()))
    return tuple(
        Mount(path, "bind", f"{directory}/{name}", options)
        for name, path in file_names(record).items()
    )


def restricted(engine: Engine, record: Record) -> bool:
    """Tell whether Landlock is asked for, by an option or by the profile."""
    asked = security.parse(record.fixed.host.security_opt).landlock
    profile = translate.profile_of(record.fixed.host, engine.machine)
    return profile.landlock if asked is None else asked


def rules(
    engine: Engine, record: Record, spec: RuntimeSpec, directories: Mapping[str, bool]
) -> Ruleset | None:
    """Return Landlock's rules for the container; None where the kernel has no Landlock."""
    network = sharing.network(record.fixed.host, record.fixed.config) != "none"
    version = engine.machine.landlock
    return landlock.rules(spec, directories, network=network, version=version)


def _stdio(record: Record, identity: Identity) -> Stdio:
    config, first_id = record.fixed.config, record.fixed.first_id
    log = logoptions.parse(record.fixed.host.log_config)
    return Stdio(
        tty=config.tty,
        stdin=config.open_stdin,
        stdin_once=config.stdin_once,
        log=log.enabled,
        log_bytes=log.bytes,
        log_files=log.files - 1,  # besides the one that is written
        owner=first_id + identity.uid if first_id else 0,
    )


def default_plan(engine: Engine) -> Plan:
    """Return the plan of a container that asks for nothing: what rooms are made ahead for."""
    fixed = Fixed(Config(), HostConfig(), None, None, (), ("/",))
    record = Record("0" * 64, "default", 0, fixed, State())
    spec = runtime_spec(engine, record, Identity(), {}, "")
    root = RootMount(("/",), None, None)
    return containers.plan(Container(spec=spec, root=root), engine.host)
