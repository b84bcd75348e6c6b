"""A container's cgroup: one value for its directories in all hierarchies."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from casemate.errors import NotFound, Unsupported, from_os
from casemate.linux.cgroups import (
    blockio,
    cpu,
    cpuset,
    cpuset_tree,
    delegation,
    devices,
    hugepages,
    ioweight,
    lifecycle,
    memory,
    oom,
    processes,
    setting,
    tasks,
    throttle,
)
from casemate.linux.cgroups.hierarchies import Held, Hierarchies
from casemate.linux.cgroups.place import Place
from casemate.linux.cgroups.values import DeviceRule, Limits, Usage

_TIMEOUT_S = 10.0


class _Part(NamedTuple):
    """What one controller limits: the fields of Limits, how they are written and read.

    ``controllers`` are its names in the versions.
    """

    controllers: tuple[str, ...]
    fields: tuple[str, ...]
    settings: Callable[[Place, Limits], list[setting.Setting]]
    limits: Callable[[Place], Limits]


_PARTS = (
    _Part(
        ("memory",),
        (
            *("memory_bytes", "memory_low_bytes", "memory_swap_bytes", "swappiness"),
            "oom_kill_disable",
        ),
        memory.settings,
        memory.limits,
    ),
    _Part(("cpu",), ("cpu_shares", "cpu_quota_us", "cpu_period_us"), cpu.settings, cpu.limits),
    _Part(("cpuset",), ("cpus", "mems"), cpuset.settings, cpuset.limits),
    _Part(("pids",), ("pids",), tasks.settings, tasks.limits),
    _Part(("blkio", "io"), ("throttles",), throttle.settings, throttle.limits),
    _Part(("blkio", "io"), ("io_weight", "io_weights"), ioweight.settings, ioweight.limits),
    _Part(("hugetlb",), ("hugepages",), hugepages.settings, hugepages.limits),
)
_NOTHING = Limits()


class Cgroup(NamedTuple):
    """The cgroup ``path`` below the mount points of ``hierarchies``; make one with ``at``.

    Making the value makes no cgroup; that is what ``create`` does.
    """

    hierarchies: Hierarchies
    path: str

    def create(self) -> None:
        """Make it, and what is above it; see ``lifecycle.create``."""
        lifecycle.create(self.hierarchies, self.path)

    def is_idle(self) -> bool:
        """Tell whether it is there, and nothing in it."""
        places = [held.place(self.path) for held in self.hierarchies.held]
        there = [place for place in places if place.has("cgroup.procs")]
        with self._named("read"):
            return bool(there) and not any(processes.pids(p) or p.children() for p in there)

    def establish(self) -> bool:
        """Make it, where it is not there, for cgroups below it; see ``lifecycle.establish``."""
        return lifecycle.establish(self.hierarchies, self.path)

    def exists(self) -> bool:
        """Tell whether it is there in any hierarchy."""
        return any(h.place(self.path).has("cgroup.procs") for h in self.hierarchies.held)

    def delete(self, timeout_s: float = _TIMEOUT_S) -> None:
        """Remove it and what is below it; see ``lifecycle.delete``."""
        lifecycle.delete(self.hierarchies, self.path, timeout_s)

    def delete_empty(self) -> None:
        """Remove it if nothing is inside; see ``lifecycle.delete_empty``."""
        lifecycle.delete_empty(self.hierarchies, self.path)

    def delegate(self, owner: int) -> None:
        """Make a part that ``owner`` may divide; see ``delegation.delegate``."""
        delegation.delegate(self.hierarchies, self.path, owner)

    def procs_paths(self, part: str = "") -> tuple[str, ...]:
        """Return the files into which the id of a process is written to put it here.

        In version 2 it is put into ``part``, a cgroup below this one.
        """
        return tuple(
            f"{held.hierarchy.mount}/{self.path}/{_below(held, part)}cgroup.procs"
            for held in self.hierarchies.held
        )

    def apply(self, limits: Limits) -> None:
        """Put ``limits`` in force and read them back.

        Raises InvalidArgument for a value that the kernel does not take or keep, Conflict for one
        below the present use, Unsupported where the controller or the setting is missing,
        NotFound without the cgroup.
        """
        with self._named("limit"):
            if limits.hugepages:
                # Few ask for them, so nobody else has them counted.
                lifecycle.enable(self.hierarchies, self.path, "hugetlb")
            for place, settings in self._settings(limits):
                setting.apply(place, settings)
            if limits.devices:
                devices.apply(self._devices_place(), limits.devices)

    def unheld(self, limits: Limits) -> list[str]:
        """Return in words which of ``limits`` are not in force, but for devices."""
        with self._named("read"):
            return [
                text
                for place, settings in self._settings(limits)
                for text in setting.unheld(place, settings)
            ]

    def devices(self, rules: tuple[DeviceRule, ...]) -> devices.InForce:
        """Return device ``rules`` beside what the kernel tells of those in force."""
        with self._named("read"):
            return devices.in_force(self._devices_place(), rules)

    def share(self, cpus: str, mems: str, own: Mapping[str, tuple[str, str]]) -> None:
        """Give it and what is below other processors and nodes; "" for all of its parent's.

        ``own`` are the sets of cgroups below, by path, that are not to have just all of these.
        Raises as ``apply``.
        """
        place = self.hierarchies.find("cpuset", self.path)
        if place is None and not cpus and not mems:
            return
        with self._named("limit"):
            for number, text in enumerate((cpus, mems)):
                chosen = {path: sets[number] for path, sets in own.items() if sets[number]}
                cpuset_tree.share(
                    place or self._place("cpuset"), cpuset.FILES[number], text, chosen
                )

    def limits(self) -> Limits:
        """Return the limits in force, but for devices; None where nothing manages them."""
        found = Limits()
        with self._named("read"):
            for part in _PARTS:
                if place := self._find(*part.controllers):
                    held = part.limits(place)
                    found = found._replace(**{f: getattr(held, f) for f in part.fields})
        return found

    def usage(self) -> Usage:
        """Return what is used now. Raises NotFound without the cgroup."""
        find = self.hierarchies.find
        path = self.path
        with self._named("measure"):
            memory_place, pids_place = find("memory", path), find("pids", path)
            time_place, io_place = find("cpuacct", path), self._find("blkio", "io")
            if time_place is None and self.hierarchies.unified:
                time_place = self.hierarchies.unified.place(path)
            return Usage(
                memory=memory.usage(memory_place) if memory_place else None,
                cpu=cpu.usage(time_place, find("cpu", path)) if time_place else None,
                io=blockio.usage(io_place) if io_place else None,
                pids=tasks.usage(pids_place) if pids_place else None,
                pids_limit=tasks.limits(pids_place).pids if pids_place else None,
            )

    def oom_kills(self) -> int:
        """Return how many processes the OOM killer took; 0 where nothing counts them."""
        place = self.hierarchies.find("memory", self.path)
        with self._named("measure"):
            return memory.oom_kills(place) if place else 0

    def subscribe_to_oom(self) -> int | None:
        """Return a descriptor that tells when memory ran out; see ``oom.subscribe``.

        None in version 2. Raises NotFound without the cgroup, Unsupported without the controller.
        """
        with self._named("watch"):
            return oom.subscribe(self._place("memory"))

    def directory(self, controller: str) -> str:
        """Return the path of its directory in the hierarchy of ``controller``.

        Raises Unsupported when the controller is not mounted.
        """
        root = self._place(controller).root
        mount = next(h.hierarchy.mount for h in self.hierarchies.held if h.fd == root)
        return f"{mount}/{self.path}"

    def pids(self) -> list[int]:
        """Return the ids of the processes here and below."""
        with self._named("read"):
            return processes.pids(self.hierarchies.processes(self.path))

    def freeze(self, timeout_s: float = _TIMEOUT_S) -> None:
        """Stop all processes where they are; return when they are. Raises Unavailable."""
        with self._named("freeze"):
            place = self.hierarchies.processes(self.path)
            processes.freeze(place, frozen=True, timeout_s=timeout_s)

    def thaw(self, timeout_s: float = _TIMEOUT_S) -> None:
        """Let all processes go on."""
        with self._named("thaw"):
            place = self.hierarchies.processes(self.path)
            processes.freeze(place, frozen=False, timeout_s=timeout_s)

    def is_frozen(self) -> bool:
        """Tell whether the processes are frozen."""
        with self._named("read"):
            return processes.is_frozen(self.hierarchies.processes(self.path))

    def kill(self, timeout_s: float = _TIMEOUT_S) -> None:
        """Kill all processes here and below; return when none is left. Raises Unavailable."""
        with self._named("kill"):
            processes.kill(self.hierarchies.processes(self.path), timeout_s)

    def _settings(self, limits: Limits) -> Iterator[tuple[Place, list[setting.Setting]]]:
        """Yield what to write where, for the controllers that ``limits`` say something of."""
        for part in _PARTS:
            if any(getattr(limits, f) != getattr(_NOTHING, f) for f in part.fields):
                place = self._place(*part.controllers)
                yield place, part.settings(place, limits)

    def _devices_place(self) -> Place:
        """Return where devices are: in version 2 they are no controller's, but a program's."""
        unified = self.hierarchies.unified
        found = self.hierarchies.find("devices", self.path)
        if found is None and unified:
            return unified.place(self.path)
        return found or self._place("devices")

    def _find(self, *controllers: str) -> Place | None:
        """Return the place in the hierarchy of the first of ``controllers`` that has one."""
        found = (self.hierarchies.find(name, self.path) for name in controllers)
        return next((place for place in found if place), None)

    def _place(self, *controllers: str) -> Place:
        place = self._find(*controllers)
        if place is None:
            raise Unsupported(
                f"cannot limit cgroup {self.path}: no {controllers[0]} controller is mounted"
            )
        return place

    @contextlib.contextmanager
    def _named(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno == errno.ENODEV:  # a file of a cgroup that was removed meanwhile
                raise NotFound(f"cannot {verb} cgroup {self.path}: it is gone") from error
            raise from_os(error, f"cannot {verb} cgroup {self.path}") from error


def _below(held: Held, part: str) -> str:
    return f"{part}/" if part and held.hierarchy.version == 2 else ""


def at(hierarchies: Hierarchies, path: str) -> Cgroup:
    """Return the value for the cgroup ``path``. Raises InvalidArgument for what is no path."""
    return Cgroup(hierarchies, lifecycle.checked(path))


def walk(hierarchies: Hierarchies, prefix: str) -> list[str]:
    """Return the paths of all cgroups below ``prefix``, parents first."""
    return lifecycle.walk(hierarchies, lifecycle.checked(prefix))
