"""The engine's /info as lines: what docker shows, and then everything of casemate's own."""

from __future__ import annotations

from casemate.cli.units import binary_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Info = dict[str, Any]

#: Fields in the order of docker's text: (label, field). A label of its own line for each.
_COUNTS = (
    (" Containers", "Containers"),
    ("  Running", "ContainersRunning"),
    ("  Paused", "ContainersPaused"),
    ("  Stopped", "ContainersStopped"),
    (" Images", "Images"),
    (" Server Version", "ServerVersion"),
    (" Storage Driver", "Driver"),
)
_DRIVERS = (
    (" Logging Driver", "LoggingDriver"),
    (" Cgroup Driver", "CgroupDriver"),
    (" Cgroup Version", "CgroupVersion"),
)
_MACHINE = (
    (" Kernel Version", "KernelVersion"),
    (" Operating System", "OperatingSystem"),
    (" OSType", "OSType"),
    (" Architecture", "Architecture"),
    (" CPUs", "NCPU"),
    (" Total Memory", "MemTotal"),
    (" Name", "Name"),
    (" ID", "ID"),
    (" Root Dir", "DockerRootDir"),
    (" Debug Mode", "Debug"),
    (" HTTP Proxy", "HttpProxy"),
    (" HTTPS Proxy", "HttpsProxy"),
    (" No Proxy", "NoProxy"),
    (" Experimental", "ExperimentalBuild"),
    (" Live Restore Enabled", "LiveRestoreEnabled"),
)
#: Fields of docker's that a single engine has nothing to say about, or that are shown elsewhere.
_SILENT = frozenset(
    """
    BridgeNfIp6tables BridgeNfIptables CDISpecDirs CPUSet CPUShares CgroupDriver CgroupVersion
    Containerd ContainerdCommit CpuCfsPeriod CpuCfsQuota DefaultAddressPools DefaultRuntime
    DiscoveredDevices DriverStatus FirewallBackend GenericResources IPv4Forwarding
    IndexServerAddress InitBinary InitCommit Isolation KernelMemory KernelMemoryTCP Labels
    MemoryLimit NEventsListener NFd NGoroutines OSVersion OomKillDisable PidsLimit Plugins
    ProductLicense RegistryConfig RuncCommit Runtimes SecurityOptions SwapLimit Swarm
    SystemTime Warnings
    """.split()
)


def server_lines(info: Info) -> Iterator[str]:
    """Yield the lines that describe the engine."""
    yield from _plain(info, _COUNTS)
    for name, value in info.get("DriverStatus") or []:
        yield f"  {name}: {value}"
    yield from _plain(info, _DRIVERS)
    yield from _plugins(info.get("Plugins") or {})
    if info.get("Runtimes"):
        yield f" Runtimes: {' '.join(sorted(info['Runtimes']))}"
        yield f" Default Runtime: {info.get('DefaultRuntime', '')}"
    yield from _security(info.get("SecurityOptions") or [])
    yield from _plain(info, _MACHINE)
    if info.get("Labels"):
        yield " Labels:"
        yield from (f"  {label}" for label in info["Labels"])
    yield from _registries(info.get("RegistryConfig") or {})
    yield from _own(info)


def _plain(info: Info, fields: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for label, name in fields:
        value = info.get(name)
        if value is None or value == "":
            continue
        if name == "MemTotal":
            value = binary_size(value)
        yield f"{label}: {_shown(value)}"


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _plugins(plugins: Info) -> Iterator[str]:
    if plugins:
        yield " Plugins:"
    for kind in ("Volume", "Network", "Authorization", "Log"):
        if plugins.get(kind):
            yield f"  {kind}: {' '.join(plugins[kind])}"


def _security(options: list[str]) -> Iterator[str]:
    """Yield options such as ``name=seccomp,profile=builtin``."""
    if options:
        yield " Security Options:"
    for option in options:
        pairs = dict(part.partition("=")[::2] for part in option.split(","))
        yield f"  {pairs.pop('name', option)}"
        if "profile" in pairs:
            yield f"   Profile: {pairs['profile']}"


def _registries(config: Info) -> Iterator[str]:
    indexes = (config.get("IndexConfigs") or {}).values()
    insecure = [index["Name"] for index in indexes if not index.get("Secure", True)]
    insecure += config.get("InsecureRegistryCIDRs") or []
    if insecure:
        yield " Insecure Registries:"
        yield from (f"  {name}" for name in insecure)
    if config.get("Mirrors"):
        yield " Registry Mirrors:"
        yield from (f"  {mirror}" for mirror in config["Mirrors"])


def _own(info: Info) -> Iterator[str]:
    """Yield every field that docker's engine does not have."""
    shown = {name for fields in (_COUNTS, _DRIVERS, _MACHINE) for _, name in fields} | _SILENT
    for name, value in info.items():
        if name in shown or value is None or value in ("", [], {}):
            continue
        if isinstance(value, dict):
            yield f" {_spaced(name)}:"
            yield from (f"  {_spaced(key)}: {_shown(item)}" for key, item in value.items())
        elif isinstance(value, list):
            yield f" {_spaced(name)}: {' '.join(map(_shown, value))}"
        else:
            yield f" {_spaced(name)}: {_shown(value)}"


def _spaced(name: str) -> str:
    """Return ``EnginePid`` as ``Engine Pid``."""
    words = "".join(
        f" {c}" if c.isupper() and name[i - 1 : i].islower() else c for i, c in enumerate(name)
    )
    return words.strip()
