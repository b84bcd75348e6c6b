"""Device nodes of a fresh /dev, and the rules of the device cgroup behind them.

Source: runtime-spec v1.2 config-linux.md, default devices; linux Documentation/admin-guide/
devices.txt; moby daemon/pkg/oci for the syntax of ``--device-cgroup-rule``.
"""

from __future__ import annotations

import re

from casemate.errors import InvalidArgument
from casemate.oci.runtime import Device, DeviceRule

# Nodes that hold no state of the host. /dev/ptmx, /dev/console and the ptys come with devpts.
DEFAULT = (
    Device("/dev/null", "c", 1, 3),
    Device("/dev/zero", "c", 1, 5),
    Device("/dev/full", "c", 1, 7),
    Device("/dev/random", "c", 1, 8),
    Device("/dev/urandom", "c", 1, 9),
    Device("/dev/tty", "c", 5, 0),
)

_PTYS = (
    DeviceRule(True, "c", 5, 1),  # /dev/console: the container's own terminal
    DeviceRule(True, "c", 5, 2),  # /dev/ptmx: of the container's own devpts
    DeviceRule(True, "c", 136, None),  # /dev/pts/*
)
# A node may be made, as package managers do, but not opened; it takes CAP_MKNOD, too.
_MKNOD = (DeviceRule(True, "c", access="m"), DeviceRule(True, "b", access="m"))

#: Nothing, then what every container may use.
RULES = (
    DeviceRule(False),
    *_MKNOD,
    *(DeviceRule(True, d.type, d.major, d.minor) for d in DEFAULT),
    *_PTYS,
)
#: For privileged containers.
EVERYTHING = (DeviceRule(True),)

_RULE = re.compile(r"([abc]) ([0-9]{1,10}|\*):([0-9]{1,10}|\*) ([rwm]{1,3})", re.ASCII)
_LAST = (1 << 32) - 1


def parse_rule(text: str) -> DeviceRule:
    """Return the allowing rule that ``--device-cgroup-rule`` spells like ``c 42:* rmw``.

    Raises InvalidArgument.
    """
    match = _RULE.fullmatch(text)
    if not match:
        raise InvalidArgument(
            f"invalid device cgroup rule {text[:80]!r}: expected TYPE MAJOR:MINOR ACCESS, as"
            " in 'c 42:* rmw'"
        )
    kind, major, minor, letters = match.groups()
    access = "".join(letter for letter in "rwm" if letter in letters)
    return DeviceRule(True, kind, _number(major, text), _number(minor, text), access)


def _number(part: str, text: str) -> int | None:
    if part == "*":
        return None
    if int(part) > _LAST:
        raise InvalidArgument(f"invalid device cgroup rule {text!r}: {part} is too large")
    return int(part)
