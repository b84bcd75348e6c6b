"""What an engine says of itself and its machine.

Source: Docker Engine API v1.47, SystemInfo and SystemVersion.
"""

from __future__ import annotations

import os
import platform
from typing import Any

import casemate
from casemate.engine.clock import now_ns, rfc3339
from casemate.engine.engine import Engine
from casemate.oci import platform as platforms


def ping_headers() -> dict[str, str]:
    """Return what ``_ping`` tells beside its answer."""
    return {
        "Builder-Version": "1",
        "Swarm": "inactive",
        "Cache-Control": "no-cache, no-store, must-revalidate",
        "Pragma": "no-cache",
    }


def info(engine: Engine) -> dict[str, Any]:
    """Return the machine, the engine's state and its settings; our own fields at the end."""
    records = engine.records.all()
    features = engine.hierarchies.features()
    controllers = features.controllers
    layout = engine.hierarchies.layout
    release = _release()
    return {
        "ID": engine.settings.name,
        "Containers": len(records),
        "ContainersRunning": sum(r.state.status == "running" for r in records),
        "ContainersPaused": sum(r.state.status == "paused" for r in records),
        "ContainersStopped": sum(not r.active for r in records),
        "Images": len(engine.images.all()),
        "Driver": engine.snapshots.name,
        "DriverStatus": [["Layers", _LAYERS[engine.snapshots.name]]],
        "DockerRootDir": engine.paths.root,
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": None,
            "Log": ["json-file", "none"],
        },
        "MemoryLimit": "memory" in controllers,
        "SwapLimit": features.swap,
        "CpuCfsPeriod": "cpu" in controllers,
        "CpuCfsQuota": "cpu" in controllers,
        "CPUShares": "cpu" in controllers,
        "CPUSet": "cpuset" in controllers,
        "PidsLimit": "pids" in controllers,
        "OomKillDisable": features.oom_kill_disable,
        "IPv4Forwarding": _forwards(),
        "Debug": False,
        "NFd": len(os.listdir("/proc/self/fd")),
        "NGoroutines": 0,
        "SystemTime": rfc3339(now_ns()),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": "2" if layout.mode == "v2" else "1",
        "NEventsListener": engine.events.listening,
        "KernelVersion": os.uname().release,
        "OperatingSystem": release.get("PRETTY_NAME", "Linux"),
        "OSVersion": release.get("VERSION_ID", ""),
        "OSType": "linux",
        "Architecture": os.uname().machine,
        "NCPU": len(os.sched_getaffinity(0)),
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": _registries(engine),
        "GenericResources": None,
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Name": os.uname().nodename,
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": casemate.__version__,
        "Runtimes": {"casemate": {"path": "casemate-shim"}},
        "DefaultRuntime": "casemate",
        "Swarm": {"NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive"},
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "InitBinary": "casemate-shim",
        "SecurityOptions": ["name=seccomp,profile=builtin"],
        "Warnings": None,
        # Our own.
        "Socket": engine.paths.socket,
        "EnginePid": os.getpid(),
        "CgroupMode": layout.mode,
        "WarmRooms": {
            "Size": engine.rooms.size,
            "Ready": engine.rooms.ready,
            "Hits": engine.rooms.hits,
            "Misses": engine.rooms.misses,
        },
        "Snapshotter": {"Name": engine.snapshots.name, "Reason": engine.snapshotter_reason},
    }


_LAYERS = {"erofs": "mounted where they are", "directories": "unpacked into directories"}


def version(engine: Engine, newest: str, oldest: str) -> dict[str, Any]:
    """Return versions of engine and API."""
    own = casemate.__version__
    details = {
        "ApiVersion": newest,
        "MinAPIVersion": oldest,
        "GitCommit": "",
        "GoVersion": f"none (Python {platform.python_version()})",
        "Os": "linux",
        "Arch": platforms.host().architecture,
        "KernelVersion": os.uname().release,
        "BuildTime": "",
    }
    return {
        "Platform": {"Name": "casemate"},
        "Components": [
            {"Name": "Engine", "Version": own, "Details": {**details, "Experimental": "false"}},
        ],
        "Version": own,
        **details,
    }


def _forwards() -> bool:
    with open("/proc/sys/net/ipv4/ip_forward", encoding="ascii") as file:
        return file.read().strip() == "1"


def _release() -> dict[str, str]:
    """Return what the distribution says of itself; not every machine says something."""
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _registries(engine: Engine) -> dict[str, Any]:
    mirrors = {
        host: [str(url) for url in urls] for host, urls in engine.settings.registry.mirrors.items()
    }
    return {
        "AllowNondistributableArtifactsCIDRs": None,
        "AllowNondistributableArtifactsHostnames": None,
        "InsecureRegistryCIDRs": ["127.0.0.0/8", "::1/128"],
        "IndexConfigs": {
            "docker.io": {
                "Name": "docker.io",
                "Mirrors": mirrors.get("docker.io", []),
                "Secure": True,
                "Official": True,
            }
        },
        "Mirrors": mirrors.get("docker.io", []),
    }
