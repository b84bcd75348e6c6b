"""Options that this engine does not execute are refused by name, never ignored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from casemate.engine.model import Config, HostConfig, LogConfig
from casemate.errors import Unsupported

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

_CONFIG: dict[str, tuple[str, _Test]] = {}


def refuse(config: Config, host: HostConfig) -> None:
    """Raise Unsupported for the first option that would not be executed."""
    for values, table in ((host, _HOST), (config, _CONFIG)):
        for field, (name, asks) in table.items():
            value = getattr(values, field)
            if asks(value):
                shown = value.type if isinstance(value, LogConfig) else value
                shown = shown if isinstance(shown, str) else ""
                raise Unsupported(f"{name} {shown}".rstrip() + " is not supported yet")
