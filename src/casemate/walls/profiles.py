"""Isolation profiles: which walls stand around a room unless the user moves one.

A profile is data alone; docs/isolation.md shows them side by side. ``container`` is the default.
The runtime reads none of this: it executes the spec that is made from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal, NamedTuple

from casemate.errors import InvalidArgument
from casemate.oci.runtime import Device, DeviceRule, Mount
from casemate.walls import capabilities, devices, masks, standard


class Profile(NamedTuple):
    """The walls of a room.

    ``namespaces`` are made new, the others shared with the host; ``network`` is the network of who
    asks for none. ``memory`` are tmpfs, ``scratch`` those of a read-only root. ``seccomp`` names
    the filter, "" for none. ``landlock`` tells that writing and the network are restricted once
    more. ``pids_limit`` is a number of tasks, 0 for none.
    """

    name: str
    namespaces: frozenset[str]
    network: Literal["bridge", "host", "none"]
    mounts: tuple[Mount, ...]
    memory: tuple[Mount, ...]
    scratch: tuple[Mount, ...]
    masked_paths: tuple[str, ...]
    readonly_paths: tuple[str, ...]
    capabilities: tuple[str, ...]
    devices: tuple[Device, ...]
    device_rules: tuple[DeviceRule, ...]
    seccomp: Literal["default", "strict", ""]
    landlock: bool
    no_new_privileges: bool
    readonly_root: bool
    pids_limit: int


CONTAINER = Profile(
    name="container",
    namespaces=frozenset({"mount", "uts", "ipc", "pid", "network", "cgroup", "time"}),
    network="bridge",
    mounts=standard.ALL,
    memory=(),
    scratch=(),
    masked_paths=masks.masked(),
    readonly_paths=masks.readonly(),
    capabilities=capabilities.DEFAULT,
    devices=devices.DEFAULT,
    device_rules=devices.RULES,
    seccomp="default",
    landlock=False,
    no_new_privileges=False,
    readonly_root=False,
    pids_limit=2048,
)
#: A program of the host with another root: nothing is hidden that a namespace hides.
PROCESS = CONTAINER._replace(
    name="process",
    namespaces=frozenset({"mount"}),  # or its root would be everybody's
    network="host",
)
#: For programs that nobody trusts.
SANDBOX = CONTAINER._replace(
    name="sandbox",
    namespaces=CONTAINER.namespaces | {"user"},
    network="none",
    scratch=standard.SCRATCH,
    capabilities=capabilities.FEW,
    seccomp="strict",
    landlock=True,
    no_new_privileges=True,
    readonly_root=True,
    pids_limit=512,
)
PROFILES = {profile.name: profile for profile in (PROCESS, CONTAINER, SANDBOX)}
_DEFAULT = ("", "default")


def named(name: str) -> Profile:
    """Return the profile ``name``; an empty one is the default. Raises InvalidArgument."""
    if name in _DEFAULT:
        return CONTAINER
    if name not in PROFILES:
        raise InvalidArgument(f"invalid --isolation {name[:80]!r}: there is {', '.join(PROFILES)}")
    return PROFILES[name]


def on(profile: Profile, thermal_cpus: Iterable[int]) -> Profile:
    """Return ``profile`` for a machine whose processors ``thermal_cpus`` count their throttling."""
    known = frozenset(profile.masked_paths)
    more = tuple(path for path in masks.masked(thermal_cpus) if path not in known)
    return profile._replace(masked_paths=(*profile.masked_paths, *more))


def privileged(profile: Profile, available: Collection[str]) -> Profile:
    """Return ``profile`` as ``--privileged`` leaves it: the namespaces stay, the rest falls.

    ``available`` are the capabilities that the engine has to give.
    """
    return profile._replace(
        mounts=tuple(_writable(mount) for mount in profile.mounts),
        masked_paths=(),
        readonly_paths=(),
        capabilities=capabilities.choose((), (), (), privileged=True, available=available),
        device_rules=devices.EVERYTHING,
        seccomp="",
        landlock=False,
        no_new_privileges=False,
    )


def _writable(mount: Mount) -> Mount:
    options = tuple(option for option in mount.options if option != "ro")
    return Mount(mount.destination, mount.type, mount.source, options)
