"""Runs the programs of one peer, as their last ancestor, and counts what all of them use.

It is a child subreaper: whatever a daemon leaves behind becomes its child. So every process that
was ever started below it is either alive and a descendant, or was waited for by one, up to here;
the sum of both is the whole. The kernel's own threads are not in it.

Requests and answers are JSON, one a line; times in nanoseconds. Source: man 2 prctl
(PR_SET_CHILD_SUBREAPER), man 5 proc (stat), man 2 clock_getres (a process's clock).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

_SUBREAPER = 36  # linux/prctl.h
_TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
_SIGNALS = [number for number in range(1, 32) if number not in (9, 19)]


class _Process(NamedTuple):
    pid: int
    parent: int
    waited_ns: int


def _processes() -> Iterator[_Process]:
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                # The name in parentheses may have anything in it.
                fields = file.read().rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks = int(fields[13]) + int(fields[14])
        yield _Process(int(name), int(fields[1]), ticks * _TICK_NS)


def descendants(ancestor: int) -> list[_Process]:
    """Return all living processes below ``ancestor``."""
    children: dict[int, list[_Process]] = {}
    for process in _processes():
        children.setdefault(process.parent, []).append(process)
    found: list[_Process] = []
    waiting = [ancestor]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += [process.pid for process in below]
    return found


def used_ns() -> int:
    """Return the processor time of everything that was ever started here."""
    _reap()
    waited = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = round((waited.ru_utime + waited.ru_stime) * 10**9)
    for process in descendants(os.getpid()):
        # A process's own clock is exact and has its ended threads in it; stat has ticks.
        with contextlib.suppress(OSError):
            total += time.clock_gettime_ns((~process.pid << 3) | 2)
        total += process.waited_ns
    return total


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _spawn(arguments: Sequence[str], environment: Mapping[str, str], log: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    return os.posix_spawnp(
        arguments[0],
        list(arguments),
        {**os.environ, **environment},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsigdef=_SIGNALS,
    )


def _start(request: Any) -> dict[str, int]:
    """Start a program that stays."""
    return {"pid": _spawn(request["arguments"], request["environment"], request["log"])}


def _run(request: Any) -> dict[str, int]:
    """Run a program to its end and tell how long it took from spawn to wait."""
    before = time.perf_counter_ns()
    pid = _spawn(request["arguments"], request["environment"], request["log"])
    _, status, used = os.wait4(pid, 0)
    wall_ns = time.perf_counter_ns() - before
    cpu_ns = round((used.ru_utime + used.ru_stime) * 10**9)
    return {"wall_ns": wall_ns, "cpu_ns": cpu_ns, "status": os.waitstatus_to_exitcode(status)}


def _alive(request: Any) -> dict[str, bool]:
    _reap()
    return {"alive": any(p.pid == request["pid"] for p in descendants(os.getpid()))}


def _used(_: Any) -> dict[str, int]:
    return {"cpu_ns": used_ns()}


def _end(request: Any) -> dict[str, int]:
    """End ``pid`` and wait for it, by force when it takes too long."""
    descriptor = os.pidfd_open(request["pid"])
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        if not _gone(descriptor, request["timeout_s"]):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            _gone(descriptor, None)
    finally:
        os.close(descriptor)
    _reap()
    return {}


def _gone(descriptor: int, timeout_s: float | None) -> bool:
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))


def _clear(_: Any) -> dict[str, int]:
    """Kill everything below, until nothing is left."""
    while left := descendants(os.getpid()):
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)
        _reap()
    return {}


_ANSWERS: Mapping[str, Callable[[Any], Mapping[str, int]]] = {
    "start": _start,
    "run": _run,
    "alive": _alive,
    "used": _used,
    "end": _end,
    "clear": _clear,
}


def main() -> None:
    """Answer requests until there are no more."""
    if ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl: cannot become a subreaper")
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = dict(_ANSWERS[request["ask"]](request))
        except OSError as error:
            answer = {"error": str(error)}  # type: ignore[dict-item]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
