"""Options that this engine does not execute are refused by name, never ignored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from casemate.engine import sharing
from casemate.engine.model import Config, HostConfig, LogConfig, NetworkingConfig
from casemate.errors import InvalidArgument, Unsupported

_Test = Callable[[Any], bool]


def _set(value: Any) -> bool:
    return bool(value)


def _not_in(*allowed: str) -> _Test:
    return lambda value: value not in allowed


# Field → (what people call it, when its value asks for something that is not there).
_HOST: dict[str, tuple[str, _Test]] = {
    "cgroup": ("the Cgroup field", _set),
    "cpu_count": ("--cpu-count (Windows)", _set),
    "cpu_percent": ("--cpu-percent (Windows)", _set),
    "cpu_realtime_period": ("--cpu-rt-period", _set),
    "cpu_realtime_runtime": ("--cpu-rt-runtime", _set),
    "device_requests": ("--gpus", _set),
    "io_maximum_bandwidth": ("--io-maxbandwidth (Windows)", _set),
    "io_maximum_iops": ("--io-maxiops (Windows)", _set),
    "links": ("--link", _set),
    "log_config": ("--log-driver", lambda v: v.type not in ("", "json-file", "none")),
    "runtime": ("--runtime", _not_in("", "casemate")),
    "storage_opt": ("--storage-opt", _set),
    "volume_driver": ("--volume-driver", _not_in("", "local")),
}

_CONFIG: dict[str, tuple[str, _Test]] = {
    "mac_address": ("--mac-address", _set),
}


#: Of an endpoint: what clients send of its state, and what means nothing with one network.
_ENDPOINT_TOLD = frozenset(
    "NetworkID EndpointID Gateway IPAddress IPPrefixLen IPv6Gateway GlobalIPv6Address"
    " GlobalIPv6PrefixLen DNSNames GwPriority".split()
)
_ENDPOINT = {
    "Aliases": "--network-alias",
    "DriverOpts": "--network driver-opt",
    "Links": "--link",
    "MacAddress": "--mac-address",
}
_ADDRESSES = {"IPv4Address": "--ip", "IPv6Address": "--ip6", "LinkLocalIPs": "--link-local-ip"}


def refuse(config: Config, host: HostConfig, networking: NetworkingConfig | None) -> None:
    """Raise Unsupported for the first option that would not be executed."""
    for values, table in ((host, _HOST), (config, _CONFIG)):
        for field, (name, asks) in table.items():
            value = getattr(values, field)
            if asks(value):
                shown = value.type if isinstance(value, LogConfig) else value
                shown = shown if isinstance(shown, str) else ""
                raise Unsupported(f"{name} {shown}".rstrip() + " is not supported yet")
    endpoints = networking.endpoints_config if networking else None
    for name, settings in (endpoints or {}).items():
        if name not in ("default", host.network_mode or "default", sharing.network(host, config)):
            raise Unsupported(
                f"another network than that of --network is not supported yet: {name}"
            )
        _refuse_settings(name, settings or {})


def _refuse_settings(network: str, settings: Mapping[str, Any]) -> None:
    found = [(k, v, _ENDPOINT) for k, v in settings.items() if k != "IPAMConfig"]
    addresses = settings.get("IPAMConfig") or {}
    if not isinstance(addresses, dict):
        raise InvalidArgument(f"invalid IPAMConfig for network {network}: not an object")
    found += [(k, v, _ADDRESSES) for k, v in addresses.items()]
    for key, value, names in found:
        if value and key not in _ENDPOINT_TOLD:
            what = names.get(key, key[:80])
            raise Unsupported(f"{what} ({key[:80]}) for network {network} is not supported yet")
