"""What a container shall be: keyword arguments, and the body of the create request.

Source: Docker Engine API v1.47, ContainerCreate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

from casemate.client import values
from casemate.errors import InvalidArgument


class Options(TypedDict, total=False):
    """What may be said of a container; what is not said is the image's, or the profile's.

    Sizes are bytes or texts such as ``256m``.
    """

    name: str
    env: Mapping[str, str]
    user: str
    workdir: str
    entrypoint: Sequence[str]
    hostname: str
    labels: Mapping[str, str]
    stop_signal: str
    stop_timeout: int
    init: bool
    # limits
    memory: int | str
    memory_reservation: int | str
    memory_swap: int | str
    cpus: float | str
    cpu_shares: int
    cpuset_cpus: str
    pids: int
    shm_size: int | str
    ulimits: Mapping[str, int | tuple[int, int]]
    oom_score_adj: int
    cgroup_parent: str
    group: str
    # walls
    isolation: str
    network: str
    pid: str
    ipc: str
    userns: str
    privileged: bool
    read_only: bool
    cap_add: Sequence[str]
    cap_drop: Sequence[str]
    security_opt: Sequence[str]
    group_add: Sequence[str]
    sysctls: Mapping[str, str]
    # surroundings
    volumes: Sequence[str]
    tmpfs: Mapping[str, str]
    ports: Mapping[int | str, int | tuple[str, int] | None]
    dns: Sequence[str]
    extra_hosts: Sequence[str]


class RunOptions(Options, total=False):
    """What may be said of a run of a container besides.

    After ``timeout`` seconds, or when it has written more than ``output_limit`` (64 MiB) that
    nobody has read, the container is killed, and who waits gets Timeout or OutputLimit. ``input``
    is all that the program can read; with ``stdin`` it is what the ``with`` statement's container
    is given.
    """

    timeout: float | str | None
    input: bytes | None
    stdin: bool
    output_limit: int | str


class _Field(NamedTuple):
    name: str
    read: Callable[[str, Any], Any]


_CONFIG = {
    "env": _Field("Env", values.environment),
    "user": _Field("User", values.text),
    "workdir": _Field("WorkingDir", values.text),
    "entrypoint": _Field("Entrypoint", values.texts),
    "hostname": _Field("Hostname", values.text),
    "labels": _Field("Labels", values.pairs),
    "stop_signal": _Field("StopSignal", values.text),
    "stop_timeout": _Field("StopTimeout", values.number),
}
_HOST = {
    "init": _Field("Init", values.flag),
    "memory": _Field("Memory", values.size),
    "memory_reservation": _Field("MemoryReservation", values.size),
    "memory_swap": _Field("MemorySwap", values.size_or_unlimited),
    "cpus": _Field("NanoCpus", values.billionths),
    "cpu_shares": _Field("CpuShares", values.number),
    "cpuset_cpus": _Field("CpusetCpus", values.text),
    "pids": _Field("PidsLimit", values.signed),
    "shm_size": _Field("ShmSize", values.size),
    "ulimits": _Field("Ulimits", values.ulimits),
    "oom_score_adj": _Field("OomScoreAdj", values.signed),
    "cgroup_parent": _Field("CgroupParent", values.text),
    "group": _Field("Group", values.text),
    "isolation": _Field("Isolation", values.text),
    "network": _Field("NetworkMode", values.text),
    "pid": _Field("PidMode", values.text),
    "ipc": _Field("IpcMode", values.text),
    "userns": _Field("UsernsMode", values.text),
    "privileged": _Field("Privileged", values.flag),
    "read_only": _Field("ReadonlyRootfs", values.flag),
    "cap_add": _Field("CapAdd", values.texts),
    "cap_drop": _Field("CapDrop", values.texts),
    "security_opt": _Field("SecurityOpt", values.texts),
    "group_add": _Field("GroupAdd", values.texts),
    "sysctls": _Field("Sysctls", values.pairs),
    "volumes": _Field("Binds", values.texts),
    "tmpfs": _Field("Tmpfs", values.pairs),
    "ports": _Field("PortBindings", values.ports),
    "dns": _Field("Dns", values.texts),
    "extra_hosts": _Field("ExtraHosts", values.texts),
}
#: Every name of Options.
NAMES = frozenset(("name", *_CONFIG, *_HOST))


def body_of(
    image: str, command: Sequence[str] | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the body of the create request, without ``name``. Raises InvalidArgument by name."""
    for name in options:
        if name not in NAMES:
            raise InvalidArgument(f"unknown argument {name!r}{_similar(name)}")
    body: dict[str, Any] = {
        "Image": values.text("image", image),
        "Cmd": values.command("command", command),
        "HostConfig": _read(_HOST, options),
        **_read(_CONFIG, options),
    }
    if published := body["HostConfig"].get("PortBindings"):
        body["ExposedPorts"] = {port: {} for port in published}
    return body


def _read(fields: Mapping[str, _Field], options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        field.name: field.read(name, options[name])
        for name, field in fields.items()
        if name in options
    }


def _similar(name: str) -> str:
    from difflib import get_close_matches

    found = get_close_matches(name, NAMES, n=1)
    return f": did you mean {found[0]!r}?" if found else ""
