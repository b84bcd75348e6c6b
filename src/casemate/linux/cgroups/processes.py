"""The processes of a cgroup and of those below it: list, freeze, kill, wait until they are gone.

Version 2 freezes and kills in one step and tells by an event when it is done. The version 1
freezer tells nothing, so it is asked again after pauses that grow.

Source: linux Documentation/admin-guide/cgroup-v2.rst (cgroup.kill, cgroup.freeze, cgroup.events),
cgroup-v1/freezer-subsystem.rst; man 2 pidfd_open.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import time
from collections.abc import Callable, Iterator

from casemate.errors import Unavailable
from casemate.linux.cgroups.place import Place, pairs

_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.0005, 0.02


def pids(place: Place) -> list[int]:
    """Return the process ids in the cgroup and below. Raises OSError, ENOENT for no such cgroup."""
    # A process of a foreign PID namespace reads as 0 and cannot be named.
    found = [int(line) for line in place.read("cgroup.procs").split() if line != "0"]
    for name in place.children():
        with contextlib.suppress(FileNotFoundError):
            found += pids(place.child(name))
    return found


def freeze(place: Place, *, frozen: bool, timeout_s: float) -> None:
    """Freeze the processes, or thaw them; return when all are.

    Raises Unavailable after ``timeout_s`` and leaves the cgroup thawed then; OSError.
    """
    if place.version == 2:
        value = int(frozen)
        if not _written(place, "cgroup.freeze", str(value), ("frozen", value), timeout_s):
            place.write("cgroup.freeze", "0")
            raise Unavailable(f"cannot freeze cgroup {place.path} within {timeout_s} s")
        return
    word = "FROZEN" if frozen else "THAWED"

    def done() -> bool:
        # Writing again catches the children that were forked meanwhile.
        place.write("freezer.state", word)
        return place.read("freezer.state").strip() == word

    if not poll(done, timeout_s):
        place.write("freezer.state", "THAWED")
        raise Unavailable(f"cannot freeze cgroup {place.path} within {timeout_s} s")


def is_frozen(place: Place) -> bool:
    """Tell whether all processes are frozen. Raises OSError."""
    if place.version == 2:
        return pairs(place.read("cgroup.events")).get("frozen") == 1
    return place.read("freezer.state").strip() == "FROZEN"


def kill(place: Place, timeout_s: float) -> None:
    """Kill all processes, frozen or not, and return when none is left.

    Raises Unavailable when some are left after ``timeout_s``; OSError.
    """
    if place.version == 2 and place.has("cgroup.kill"):
        if not _written(place, "cgroup.kill", "1", ("populated", 0), timeout_s):
            raise _left(place, pids(place))
        return
    deadline = time.monotonic() + timeout_s
    while found := _held(place, deadline):
        for _, fd in found:
            os.close(fd)
        if time.monotonic() > deadline:
            raise _left(place, [pid for pid, _ in found])


def _held(place: Place, deadline: float) -> list[tuple[int, int]]:
    """Kill what is there now and wait for it; return what was there, with descriptors to close."""
    remaining_s = max(0.0, deadline - time.monotonic())
    # A process in an uninterruptible sleep does not freeze; what can be killed still is.
    with contextlib.suppress(Unavailable):
        freeze(place, frozen=True, timeout_s=remaining_s)
    found = []
    try:
        for pid in pids(place):
            # Frozen processes do not exit, so the id is still theirs.
            with contextlib.suppress(ProcessLookupError):
                fd = os.pidfd_open(pid)
                found.append((pid, fd))
                signal.pidfd_send_signal(fd, signal.SIGKILL)
    finally:
        freeze(place, frozen=False, timeout_s=max(1.0, remaining_s))
    _await_exits([fd for _, fd in found], deadline)
    return found


def _await_exits(fds: list[int], deadline: float) -> None:
    waiting = select.poll()
    for fd in fds:
        waiting.register(fd, select.POLLIN)
    left = len(fds)
    while left and (remaining_s := deadline - time.monotonic()) > 0:
        for fd, _ in waiting.poll(remaining_s * 1000):
            waiting.unregister(fd)
            left -= 1


def _left(place: Place, found: list[int]) -> Unavailable:
    some = " ".join(map(str, found[:20]))
    return Unavailable(f"cannot kill the processes of cgroup {place.path}: {some}")


def _written(place: Place, file: str, text: str, event: tuple[str, int], timeout_s: float) -> bool:
    """Write a control file; tell whether cgroup.events says ``event`` in time."""
    fd = place.open("cgroup.events", os.O_RDONLY)
    try:
        place.write(file, text)
        return _await_event(fd, *event, timeout_s)
    finally:
        os.close(fd)


def _await_event(fd: int, event: str, value: int, timeout_s: float) -> bool:
    waiting = select.poll()
    waiting.register(fd, select.POLLPRI)
    deadline = time.monotonic() + timeout_s
    while pairs(os.pread(fd, 4096, 0).decode()).get(event) != value:
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0:
            return False
        waiting.poll(remaining_s * 1000)
    return True


def poll(done: Callable[[], bool], timeout_s: float) -> bool:
    """Ask ``done`` until it says so, for state that the kernel gives no event for."""
    for pause_s in _pauses(timeout_s):
        if done():
            return True
        time.sleep(pause_s)
    return done()


def _pauses(timeout_s: float) -> Iterator[float]:
    deadline = time.monotonic() + timeout_s
    pause_s = _FIRST_PAUSE_S
    while time.monotonic() < deadline:
        yield pause_s
        pause_s = min(2 * pause_s, _LAST_PAUSE_S)


def gone(error: OSError) -> bool:
    """Tell whether ``error`` means that the cgroup is not there (any more)."""
    return error.errno in (errno.ENOENT, errno.ENODEV)
