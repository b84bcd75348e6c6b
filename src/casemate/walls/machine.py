"""What the walls depend on and only the machine knows: read once, when an engine starts."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Mapping
from typing import NamedTuple

from casemate.errors import Unsupported
from casemate.linux import capabilities, landlock
from casemate.oci import platform
from casemate.walls.limits import NAMES

_RELEASE = re.compile(r"([0-9]+)\.([0-9]+)")
_CPU = re.compile(r"cpu([0-9]+)")


class Machine(NamedTuple):
    """Facts about kernel and engine.

    ``architecture`` is a GOARCH; ``kernel`` major and minor version; ``capabilities`` the
    engine's bounding set; ``hard_limits`` its hard limits by name (``NOFILE``), -1 for none;
    ``thermal_cpus`` the processors with throttle counters in sysfs; ``landlock`` the version of the
    kernel's interface, 0 for none.
    """

    architecture: str
    kernel: tuple[int, int]
    capabilities: tuple[str, ...]
    hard_limits: Mapping[str, int]
    thermal_cpus: tuple[int, ...]
    landlock: int = 0


def read(proc: str = "/proc", sys: str = "/sys") -> Machine:
    """Return the facts about this machine. Raises Unsupported for an unreadable release."""
    release = os.uname().release
    version = _RELEASE.match(release)
    if not version:
        raise Unsupported(f"cannot read the kernel's version {release!r}")
    return Machine(
        architecture=platform.host().architecture,
        kernel=(int(version[1]), int(version[2])),
        capabilities=capabilities.names(capabilities.bounding(proc)),
        hard_limits=_hard_limits(),
        thermal_cpus=_thermal_cpus(f"{sys}/devices/system/cpu"),
        landlock=landlock.version(),
    )


def _hard_limits() -> dict[str, int]:
    limits = {}
    for name in NAMES:
        number = getattr(resource, f"RLIMIT_{name}", None)
        if number is not None:
            hard = resource.getrlimit(number)[1]
            limits[name] = -1 if hard == resource.RLIM_INFINITY else hard
    return limits


def _thermal_cpus(root: str) -> tuple[int, ...]:
    try:
        names = os.listdir(root)
    except FileNotFoundError:
        return ()
    numbers = sorted(int(match[1]) for match in map(_CPU.fullmatch, names) if match)
    return tuple(n for n in numbers if os.path.isdir(f"{root}/cpu{n}/thermal_throttle"))
