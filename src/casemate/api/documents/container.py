"""A container as the API describes it: whole (inspect) and in one line (list).

Source: Docker Engine API v1.47, ContainerInspectResponse and ContainerSummary.
"""

from __future__ import annotations

from typing import Any

import msgspec

from casemate.api.documents import endpoint, wording
from casemate.engine import inforce, sharing
from casemate.engine.clock import ZERO, rfc3339
from casemate.engine.engine import Engine
from casemate.engine.records import Health, MountPoint, Port, Record
from casemate.errors import NotFound


def whole(engine: Engine, record: Record) -> dict[str, Any]:
    """Return everything about the container."""
    directory = engine.paths.container(record.id)
    config, host = record.fixed.config, record.fixed.host
    in_force = inforce.host_config(host, config, engine.machine)
    document: dict[str, Any] = {
        "Id": record.id,
        "Created": rfc3339(record.created_ns),
        "Path": record.fixed.args[0],
        "Args": list(record.fixed.args[1:]),
        "State": _state(engine, record),
        "Image": record.fixed.image or "",
        "ResolvConfPath": f"{directory}/resolv.conf",
        "HostnamePath": f"{directory}/hostname",
        "HostsPath": f"{directory}/hosts",
        "LogPath": f"{directory}/log.json",
        "Name": f"/{record.name}",
        "RestartCount": record.state.restart_count,
        "Driver": engine.snapshots.name,
        "Platform": record.fixed.platform,
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": _exec_ids(engine, record),
        "HostConfig": msgspec.to_builtins(in_force),
        "GraphDriver": {"Name": engine.snapshots.name, "Data": None},
        "Mounts": [_mount(point) for point in record.fixed.mounts],
        "Config": _config(record),
        "NetworkSettings": _networks(engine, record),
        "Cgroup": record.state.cgroup,
    }
    return document


def _state(engine: Engine, record: Record) -> dict[str, Any]:
    state = record.state
    document = {
        "Status": engine.status(record),
        "Running": record.up,
        "Paused": state.status == "paused",
        "Restarting": state.status == "restarting",
        "OOMKilled": state.oom_killed,
        "Dead": state.status == "dead",
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": rfc3339(state.started_ns),
        "FinishedAt": rfc3339(state.finished_ns) if state.finished_ns else ZERO,
    }
    return {**document, "Health": _health(state.health)} if state.health else document


def _health(health: Health) -> dict[str, Any]:
    return {
        "Status": health.status,
        "FailingStreak": health.failing_streak,
        "Log": [
            {
                "Start": rfc3339(found.began_ns),
                "End": rfc3339(found.ended_ns),
                "ExitCode": found.exit_code,
                "Output": found.output,
            }
            for found in health.log
        ],
    }


def _config(record: Record) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(record.fixed.config)
    document["Hostname"] = document["Hostname"] or record.short
    if document["Healthcheck"] is None:
        del document["Healthcheck"]
    return document


def _exec_ids(engine: Engine, record: Record) -> list[str] | None:
    running = [
        e.id for e in engine.live(record.id).execs.values() if e.started and not e.ended.done()
    ]
    return running or None


def _mount(point: MountPoint) -> dict[str, Any]:
    document = {
        "Type": point.type,
        "Source": point.source,
        "Destination": point.destination,
        "Mode": point.mode,
        "RW": point.writable,
        "Propagation": point.propagation,
    }
    return document | ({"Name": point.name, "Driver": "local"} if point.name else {})


def _networks(engine: Engine, record: Record) -> dict[str, Any]:
    networks = endpoint.all_of(engine, record)
    usual = networks.get("bridge", endpoint.nowhere())
    ports = _port_map(record)
    document: dict[str, Any] = {
        "Bridge": "",
        "SandboxID": record.id if record.active else "",
        "SandboxKey": f"/proc/{record.state.pid}/ns/net" if record.active else "",
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "Ports": ports,
        "Networks": networks,
    }
    same = ("EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPAddress")
    for key in (*same, "IPPrefixLen", "IPv6Gateway", "MacAddress"):
        document[key] = usual[key]
    return document


def _port_map(record: Record) -> dict[str, Any]:
    """Return the exposed and the published ports, these with where they are on the host."""
    ports: dict[str, Any] = {}
    if not record.active:
        return ports
    for exposed in record.fixed.config.exposed_ports or {}:
        ports[exposed] = None
    for port in record.state.ports:
        key = f"{port.container_port}/{port.protocol}"
        ports[key] = ports.get(key) or []
        ports[key].append({"HostIp": port.host_address, "HostPort": str(port.host_port)})
    return ports


def line(engine: Engine, record: Record) -> dict[str, Any]:
    """Return the container as one line of a list."""
    mode = sharing.network(record.fixed.host, record.fixed.config)
    document: dict[str, Any] = {
        "Id": record.id,
        "Names": [f"/{record.name}"],
        "Image": record.fixed.config.image,
        "ImageID": record.fixed.image or "",
        "Command": " ".join(_quoted(arg) for arg in record.fixed.args),
        "Created": record.created_ns // 1_000_000_000,
        "Ports": [_port_line(port) for port in record.state.ports] or _exposed_lines(record),
        "Labels": record.fixed.config.labels or {},
        "State": engine.status(record),
        "Status": wording.status(record, engine.status(record)),
        "HostConfig": {"NetworkMode": mode},
        "NetworkSettings": {"Networks": endpoint.all_of(engine, record)},
        "Mounts": [_mount(point) for point in record.fixed.mounts],
    }
    return document


def sizes(engine: Engine, record: Record) -> dict[str, int]:
    """Return the bytes that the container wrote, and those of its root; none when it goes.

    Looks at every file that it wrote: not for the event loop.
    """
    try:
        written = engine.snapshots.usage(record.id)
        return {"SizeRw": written, "SizeRootFs": written + _image_size(engine, record)}
    except NotFound:
        return {}


def _image_size(engine: Engine, record: Record) -> int:
    """Return the bytes of the image's layers."""
    return sum(engine.layers.get(d).size_bytes for d in record.fixed.layers)


def _quoted(arg: str) -> str:
    return f"'{arg}'" if " " in arg else arg


def _port_line(port: Port) -> dict[str, Any]:
    return {
        "IP": port.host_address,
        "PrivatePort": port.container_port,
        "PublicPort": port.host_port,
        "Type": port.protocol,
    }


def _exposed_lines(record: Record) -> list[dict[str, Any]]:
    if not record.active:
        return []
    lines = []
    for text in sorted(record.fixed.config.exposed_ports or {}):
        number, _, protocol = text.partition("/")
        if number.isdigit():
            lines.append({"PrivatePort": int(number), "Type": protocol or "tcp"})
    return lines
