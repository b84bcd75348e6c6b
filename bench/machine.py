"""What the figures depend on besides the programs."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from typing import Any

from bench.lab import CGROUP
from casemate.linux.cgroups import layout

_SAMPLES = 5
_QUIET_S = 0.5


def facts(work: str) -> dict[str, Any]:
    """Return facts about this machine; ``work`` is where everything is stored."""
    found = layout.detect()
    return {
        "kernel": os.uname().release,
        "architecture": os.uname().machine,
        "processors": len(os.sched_getaffinity(0)),
        "model": _model(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "file_system": _file_system(work),
        "cgroups": found.mode,
        "first_attach_ms": _first_attach_ms(f"{found.hierarchies[0].mount}/{CGROUP}-probe"),
        "python": platform.python_version(),
        "load": os.getloadavg(),
    }


def _model() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return "unknown"


def _file_system(path: str) -> str:
    """Return the type of the file system that ``path`` is on."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            if before.split()[2] == wanted:
                return after.split()[0]
    return "unknown"


def _first_attach_ms(cgroup: str) -> list[float]:
    """Return how long the first move of a process into a cgroup takes after a pause.

    With version 1 it waits for all processors; a room made ahead hides it, the floor does not.
    """
    os.makedirs(cgroup, exist_ok=True)
    found = []
    for _ in range(_SAMPLES):
        time.sleep(_QUIET_S)
        with subprocess.Popen(["sleep", "infinity"]) as process:
            start = time.perf_counter()
            with open(f"{cgroup}/cgroup.procs", "w", encoding="ascii") as file:
                file.write(str(process.pid))
            found.append(round((time.perf_counter() - start) * 1e3, 3))
            process.kill()
    os.rmdir(cgroup)
    return found
