"""Rooms made ahead: namespaces, cgroups and standard file systems, waiting for a container.

A bounded pool of them hides what the kernel makes everybody wait for: with cgroups v1 the first
process that is moved into a cgroup waits several milliseconds. A room serves any container whose
plan begins as the default one does; others get a room of their own, made when they start.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import NamedTuple

from casemate.errors import Error, Unavailable
from casemate.linux.cgroups import cgroup as cgroups
from casemate.linux.cgroups import delegation
from casemate.linux.cgroups.cgroup import Cgroup
from casemate.linux.cgroups.hierarchies import Hierarchies
from casemate.runtime.namespaces.clone import CLONE_FLAGS
from casemate.runtime.plan import Plan
from casemate.runtime.steps import Step, step
from casemate.supervise.program import Program
from casemate.supervise.shim import Shim

_LATER_S = 0.02


class Room(NamedTuple):
    """A supervisor whose child waits, in its namespaces and cgroup."""

    shim: Shim
    cgroup: Cgroup


class Rooms:
    """Makes rooms, and keeps up to ``size`` of them ready."""

    def __init__(
        self, program: Program, hierarchies: Hierarchies, parent: str, template: Plan, size: int
    ) -> None:
        """``template`` is the plan of a default container, ``parent`` the cgroup above all."""
        self._program = program
        self._hierarchies = hierarchies
        self._parent = parent
        self._template = template
        self.size = size
        self._ready: list[Room] = []
        self._filling: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._making: set[str] = set()
        #: How often a container found a room ready, and how often not.
        self.hits = 0
        self.misses = 0

    @property
    def cgroups(self) -> set[str]:
        """The cgroups of the rooms that wait, or are being made."""
        return {room.cgroup.path for room in self._ready} | self._making

    @property
    def ready(self) -> int:
        """How many rooms wait."""
        return len(self._ready)

    async def take(
        self, plan: Plan, parent: str = "", *, fresh: bool = False, peer: int = -1
    ) -> Room:
        """Return a room for ``plan``, ready to start; its cgroup is below ``parent``.

        A ``fresh`` one sees what is mounted on the host now; one that has waited need not, unless
        the host's mounts are shared. ``peer`` is a pidfd of a process whose process namespace the
        room is born into.
        """
        usable = not fresh and parent in ("", self._parent) and self._fits(plan)
        while usable and self._ready:
            room = self._ready.pop()
            if not room.shim.gone.done():
                self.hits += 1
                return room
            room.cgroup.delete()
        self.misses += 1
        return await self._make(plan, parent or self._parent, peer)

    def refill(self, *, soon: bool = False) -> None:
        """Make rooms in the background until the pool is full.

        Usually a little later: what just asked for a room is not kept waiting by the next one.
        ``soon`` is for somebody who is about to need one.
        """
        if self._closed or self._filling or len(self._ready) >= self.size:
            return
        if soon and not self._ready:
            self._fill_now()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LATER_S, self._fill_now)

    def _fill_now(self) -> None:
        self._timer = None
        if not self._closed and not self._filling:
            self._filling = asyncio.get_running_loop().create_task(self._fill())

    async def close(self) -> None:
        """End the rooms that wait, and give their cgroups back."""
        self._closed = True
        if self._timer:
            self._timer.cancel()
        if self._filling:
            await asyncio.wait([self._filling])
        while self._ready:
            await discard(self._ready.pop())

    def _fits(self, plan: Plan) -> bool:
        return (
            plan.namespaces == self._template.namespaces
            and plan.registers == self._template.registers
            and plan.ahead == self._template.ahead
        )

    async def _fill(self) -> None:
        try:
            while len(self._ready) < self.size and not self._closed:
                self._ready.append(await self._make(self._template, self._parent))
        except Error:
            pass  # whoever needs a room next makes one, and learns what is wrong
        finally:
            self._filling = None

    async def _make(self, plan: Plan, parent: str, peer: int = -1) -> Room:
        cgroup = cgroups.at(self._hierarchies, f"{parent}/{secrets.token_hex(16)}")
        self._making.add(cgroup.path)
        shim = Shim.spawn(self._program, plan.namespaces, peer)
        try:
            # The kernel makes the namespaces while the cgroup is made here.
            cgroup.create()
            if plan.divides is not None:
                cgroup.delegate(plan.divides)
            await shim.ready
            if plan.namespaces & CLONE_FLAGS["network"] and not shim.has_network:
                raise Unavailable("cannot take over a room's network: too many open files")
            await shim.prepare(attached(plan, cgroup).ahead_file())
        except BaseException:
            await discard(Room(shim, cgroup))
            raise
        finally:
            self._making.discard(cgroup.path)
        return Room(shim, cgroup)


def attached(plan: Plan, cgroup: Cgroup) -> Plan:
    """Return ``plan`` for a room that is put into ``cgroup`` first of all."""
    part = "" if plan.divides is None else delegation.NAME
    return plan._replace(outside=(*attach(cgroup, part), *plan.outside))


def attach(cgroup: Cgroup, part: str = "") -> tuple[Step, ...]:
    """Return the steps that put a waiting room into ``cgroup``, or a ``part`` of it."""
    return tuple(step("attach", path) for path in cgroup.procs_paths(part))


async def discard(room: Room) -> None:
    """End a room that is of no use, and remove its cgroup."""
    await _end(room.shim)
    room.cgroup.delete()


async def _end(shim: Shim) -> None:
    shim.kill_hard()
    await shim.gone
    shim.close()
