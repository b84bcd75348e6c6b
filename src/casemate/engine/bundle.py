"""A container's record becomes its bundle: runtime spec, plan, and the files that are mounted."""

from __future__ import annotations

import os
from typing import NamedTuple

from casemate.engine import networking, translate
from casemate.engine.engine import Engine
from casemate.engine.model import Config, HostConfig
from casemate.engine.records import Fixed, Record, State
from casemate.errors import InvalidArgument
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
        stdio=_stdio(engine, record),
        init=bool(record.fixed.host.init),
        directories=sources,
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


def _stdio(engine: Engine, record: Record) -> Stdio:
    config, log = record.fixed.config, record.fixed.host.log_config
    settings = log.config or {}
    return Stdio(
        tty=config.tty,
        stdin=config.open_stdin,
        stdin_once=config.stdin_once,
        log=log.type != "none",
        log_bytes=log_size(settings.get("max-size", ""), engine.settings.log_bytes),
        log_files=_log_files(settings.get("max-file", ""), engine.settings.log_files),
    )


_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def log_size(text: str, default: int) -> int:
    """Return ``text`` (10m, 500k, 1g, -1 for no limit) in bytes. Raises InvalidArgument."""
    if not text:
        return default
    if text == "-1":
        return 0
    lower = text.lower().removesuffix("b")
    unit = _UNITS.get(lower[-1:], 1)
    digits = lower[:-1] if unit > 1 else lower
    if not digits.isdigit() or len(digits) > 15 or not int(digits):
        raise InvalidArgument(f"invalid log option max-size={text[:40]!r}: like 10m, 500k or 1g")
    return int(digits) * unit


def _log_files(text: str, default: int) -> int:
    if not text:
        return default - 1
    if not text.isdigit() or not 1 <= int(text) <= 1000:
        raise InvalidArgument(f"invalid log option max-file={text[:40]!r}: 1 to 1000")
    return int(text) - 1


def default_plan(engine: Engine) -> Plan:
    """Return the plan of a container that asks for nothing: what rooms are made ahead for."""
    fixed = Fixed(Config(), HostConfig(), None, None, (), ("/",))
    record = Record("0" * 64, "default", 0, fixed, State())
    spec = runtime_spec(engine, record, Identity(), "")
    root = RootMount(("/",), None, None)
    return containers.plan(Container(spec=spec, root=root), engine.host)
