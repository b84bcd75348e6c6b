"""How much a cgroup may read from and write to block devices in a second.

In version 1 only what a process waits for is counted: reads, and writes that bypass the page cache;
and each cgroup has limits of its own, that of one above does not count.

Source: linux Documentation/admin-guide/cgroup-v1/blkio-controller.rst, cgroup-v2.rst io.max.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from casemate.errors import InvalidArgument
from casemate.linux.cgroups.place import Place
from casemate.linux.cgroups.setting import Setting
from casemate.linux.cgroups.values import Limits, Throttle

_V1 = {
    "read_bps": "blkio.throttle.read_bps_device",
    "write_bps": "blkio.throttle.write_bps_device",
    "read_iops": "blkio.throttle.read_iops_device",
    "write_iops": "blkio.throttle.write_iops_device",
}
_V2 = {"read_bps": "rbps", "write_bps": "wbps", "read_iops": "riops", "write_iops": "wiops"}
_V2_FILE = "io.max"
_LARGEST = {"bps": (1 << 64) - 1, "iops": (1 << 32) - 1}

#: (major, minor) → kind → rate
_Rates = dict[tuple[int, int], dict[str, int]]


def settings(place: Place, limits: Limits) -> list[Setting]:
    """Return what to write for the throttles of ``limits``. Raises InvalidArgument."""
    chosen = []
    for throttle in limits.throttles:
        device = f"{throttle.major}:{throttle.minor}"
        rates = _rates(throttle)
        for kind, rate in rates.items():
            if not 0 < rate <= _LARGEST[kind.partition("_")[2]]:
                raise InvalidArgument(f"invalid rate {rate} for device {device}")
        if place.version == 2:
            text = " ".join(f"{_V2[kind]}={rate}" for kind, rate in rates.items())
            parts = [(_V2_FILE, text)] if text else []
        else:
            parts = [(_V1[kind], str(rate)) for kind, rate in rates.items()]
        holds = functools.partial(_holds, place.version, throttle)
        chosen += [Setting(f, f"{device} {text}", functools.partial(holds, f)) for f, text in parts]
    return chosen


def _rates(throttle: Throttle) -> dict[str, int]:
    rates = {kind: getattr(throttle, kind) for kind in _V1}
    return {kind: rate for kind, rate in rates.items() if rate is not None}


def _holds(version: int, throttle: Throttle, file: str, text: str) -> bool:
    wanted = _rates(throttle)
    if version == 2:
        found = _parsed_v2(text)
    else:
        kind = next(kind for kind, name in _V1.items() if name == file)
        wanted, found = {kind: wanted[kind]}, _parsed_v1({kind: text})
    device = (throttle.major, throttle.minor)
    return found.get(device, {}).items() >= wanted.items()


def limits(place: Place) -> Limits:
    """Return the throttles in force. Raises OSError."""
    if place.version == 2:
        found = _parsed_v2(place.read(_V2_FILE))
    else:
        found = _parsed_v1({kind: place.read(file) for kind, file in _V1.items()})
    return Limits(throttles=_throttles(found))


def _throttles(rates: _Rates) -> tuple[Throttle, ...]:
    return tuple(Throttle(*device, **rates[device]) for device in sorted(rates))


def _parsed_v1(texts: dict[str, str]) -> _Rates:
    found: _Rates = {}
    for kind, text in texts.items():
        for line in text.splitlines():
            device, _, rate = line.partition(" ")
            if not rate:
                continue
            found.setdefault(_device(device), {})[kind] = int(rate)
    return found


def _parsed_v2(text: str) -> _Rates:
    found: _Rates = {}
    for line in filter(str.strip, text.splitlines()):
        device, *words = line.split()
        pairs = dict(word.split("=", 1) for word in words)
        found[_device(device)] = {
            kind: int(pairs[name]) for kind, name in _V2.items() if pairs.get(name, "max") != "max"
        }
    return found


def _device(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(":")
    return int(major), int(minor)


def merged(one_by_one: Iterable[Throttle]) -> tuple[Throttle, ...]:
    """Return one throttle for each device; of several rates of a kind the last one counts."""
    rates: _Rates = {}
    for throttle in one_by_one:
        rates.setdefault((throttle.major, throttle.minor), {}).update(_rates(throttle))
    return _throttles(rates)
