"""Options that this engine does not execute are refused by name, never ignored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from casemate.engine import sharing
from casemate.engine.model import Config, HostConfig, NetworkingConfig
from casemate.errors import Unsupported

_Test = Callable[[Any], bool]


def _set(value: Any) -> bool:
    return bool(value)


def _not_in(*allowed: str) -> _Test:
    return lambda value: value not in allowed


# Field → (what people call it, when its value asks for something that is not there).
_HOST: dict[str, tuple[str, _Test]] = {
    "blkio_weight": ("--blkio-weight", _set),
    "blkio_weight_device": ("--blkio-weight-device", _set),
    "blkio_device_read_bps": ("--device-read-bps", _set),
    "blkio_device_write_bps": ("--device-write-bps", _set),
    "blkio_device_read_iops": ("--device-read-iops", _set),
    "blkio_device_write_iops": ("--device-write-iops", _set),
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
    "oom_kill_disable": ("--oom-kill-disable", _set),
    "runtime": ("--runtime", _not_in("", "casemate")),
    "storage_opt": ("--storage-opt", _set),
    "volume_driver": ("--volume-driver", _not_in("", "local")),
    "volumes_from": ("--volumes-from", _set),
}

_CONFIG: dict[str, tuple[str, _Test]] = {
    "healthcheck": ("a health check", lambda v: v is not None and v.test not in ((), ("NONE",))),
    "mac_address": ("--mac-address", _set),
}


def refuse(config: Config, host: HostConfig, networking: NetworkingConfig | None) -> None:
    """Raise Unsupported for the first option that would not be executed."""
    for values, table in ((host, _HOST), (config, _CONFIG)):
        for field, (name, asks) in table.items():
            value = getattr(values, field)
            if asks(value):
                shown = value if isinstance(value, str) else ""
                raise Unsupported(f"{name} {shown}".rstrip() + " is not supported yet")
    endpoints = networking.endpoints_config if networking else None
    for name, settings in (endpoints or {}).items():
        if name not in ("default", host.network_mode or "default", sharing.network(host, config)):
            raise Unsupported(
                f"another network than that of --network is not supported yet: {name}"
            )
        for key in ("IPAMConfig", "Links", "Aliases", "MacAddress", "DriverOpts"):
            if settings and settings.get(key):
                raise Unsupported(f"{key} for network {name} is not supported yet")
