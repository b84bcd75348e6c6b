"""Processes in a cgroup of a test's own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from casemate.linux.cgroups.cgroup import Cgroup

BASE = f"casemate-test-{os.getpid()}-x"


def needs(group: Cgroup, *controllers: str) -> None:
    missing = set(controllers) - group.hierarchies.features().controllers
    if missing:
        pytest.skip(f"no controller {', '.join(sorted(missing))} here")


def attach(group: Cgroup, pid: int) -> None:
    for path in group.procs_paths():
        with open(path, "w", encoding="ascii") as file:
            file.write(str(pid))


@contextlib.contextmanager
def running(group: Cgroup, code: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python code in the cgroup; it starts when it is in, and is gone afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", f"import os, sys; sys.stdin.read(1)\n{code}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    try:
        attach(group, process.pid)
        process.stdin.write(b"x")
        process.stdin.flush()
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def output(group: Cgroup, code: str) -> bytes:
    with running(group, code) as process:
        assert process.stdout
        return process.stdout.read()


def started(process: subprocess.Popen[bytes]) -> None:
    """Wait for the line with which the code says that it got so far."""
    assert process.stdout
    assert process.stdout.readline() == b"on\n"


def eventually(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        os.sched_yield()


WAIT = "print('on', flush=True); import signal; signal.pause()"
SPIN = "print('on', flush=True)\nwhile True: pass"


def exists(group: Cgroup) -> list[bool]:
    return [os.path.exists(path) for path in group.procs_paths()]
