"""A container's record becomes its bundle: runtime spec, plan, and the files that are mounted."""

from __future__ import annotations

import os
from typing import NamedTuple

from casemate.engine import logoptions, networking, translate
from casemate.engine.engine import Engine
from casemate.engine.model import Config, HostConfig
from casemate.engine.records import Fixed, Record, State
from casemate.oci.runtime import Mount, RuntimeSpec
from casemate.runtime.namespaces import container as containers
from casemate.runtime.namespaces.container import Container
from casemate.runtime.plan import Plan, Stdio
from casemate.snapshot.mounts import RootMount
from casemate.spec.identity import Identity
from casemate.spec.make import make

_FILES = {"hosts": "/etc/hosts", "hostname": "/etc/hostname", "resolv.conf": "/etc/resolv.conf"}


class Bundle(NamedTuple):
    """Everything that a start needs to know."""

    spec: RuntimeSpec
    plan: Plan


def make_bundle(
    engine: Engine, record: Record, root: RootMount, identity: Identity, cgroup: str = ""
) -> Bundle:
    """Return the bundle of ``record`` over the root ``root``. Reads the host, changes nothing."""
    spec = runtime_spec(engine, record, identity, cgroup)
    volatile = record.fixed.host.auto_remove
    sources = {m.source: os.path.isdir(m.source) for m in spec.mounts if "rbind" in m.options}
    container = Container(
        spec=spec,
        root=root._replace(volatile=volatile),
        seccomp=engine.filter(spec.linux.seccomp),
        stdio=_stdio(record),
        init=bool(record.fixed.host.init),
        directories=sources,
        volumes=tuple(sorted(record.fixed.config.volumes or ())),
    )
    return Bundle(spec, containers.plan(container, engine.host))


def runtime_spec(engine: Engine, record: Record, identity: Identity, cgroup: str) -> RuntimeSpec:
    """Return the runtime spec of ``record``."""
    host = record.fixed.host
    profile = translate.profile_of(host, engine.machine)
    options = translate.options(
        record, identity, engine.machine, cgroup=cgroup, files=_files(engine, record)
    )
    if host.network_mode != "host":
        early = tuple(networking.early_sysctls().items())
        options = options._replace(sysctls=(*early, *options.sysctls))
    return make(options, profile)


def identify(engine: Engine, record: Record, root: RootMount) -> Identity:
    """Return who the container runs as."""
    groups = tuple(record.fixed.host.group_add or ())
    return engine.users.identify(root, record.fixed.layers, record.fixed.config.user, groups)


def file_names(record: Record) -> dict[str, str]:
    """Return the names of the files that are mounted, and where; not those the user mounts."""
    taken = {point.destination for point in record.fixed.mounts}
    return {name: path for name, path in _FILES.items() if path not in taken}


def _files(engine: Engine, record: Record) -> list[Mount]:
    directory = engine.paths.container(record.id)
    return [
        Mount(path, "bind", f"{directory}/{name}", ("rbind", "rprivate"))
        for name, path in file_names(record).items()
    ]


def _stdio(record: Record) -> Stdio:
    config = record.fixed.config
    log = logoptions.parse(record.fixed.host.log_config)
    return Stdio(
        tty=config.tty,
        stdin=config.open_stdin,
        stdin_once=config.stdin_once,
        log=log.enabled,
        log_bytes=log.bytes,
        log_files=log.files - 1,  # besides the one that is written
    )


def default_plan(engine: Engine) -> Plan:
    """Return the plan of a container that asks for nothing: what rooms are made ahead for."""
    fixed = Fixed(Config(), HostConfig(), None, None, (), ("/",))
    record = Record("0" * 64, "default", 0, fixed, State())
    spec = runtime_spec(engine, record, Identity(), "")
    root = RootMount(("/",), None, None)
    return containers.plan(Container(spec=spec, root=root), engine.host)
