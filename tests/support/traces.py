"""What an engine leaves on a machine: mounts, cgroups, interfaces, processes, files."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator

from support.engine import RunningEngine, hierarchies

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def orphans_come_to_us() -> Iterator[None]:
    """Have processes whose parent dies become children of this one, to be counted."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        bury()


def traces(engine: RunningEngine, name: str) -> dict[str, list[str]]:
    """Return what is there of the engine with the name ``name``, by kind, without what is empty."""
    found = {
        "mounts": _mounts(f"{engine.root}/"),
        "cgroups": _cgroups(name),
        "interfaces": _interfaces(f"{name}0"),
        "processes": supervisors(engine.root),
        "containers": _names(f"{engine.root}/containers"),
        "snapshots": [n for n in _names(f"{engine.root}/snapshots") if not n.startswith(".")],
        "unfinished": [
            f"{part}/{one}"
            for part in ("trash", "layers/ingest", "snapshots/.work", "content/leases")
            for one in _names(f"{engine.root}/{part}")
        ],
    }
    return {kind: one for kind, one in found.items() if one}


def supervisors(root: str) -> list[str]:
    """Return the living descendants of this process that belong to containers.

    Those of living engines with another root than ``root`` are in use and left out.
    """
    children: dict[int, list[int]] = {}
    names: dict[int, str] = {}
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{int(entry)}/stat") as file:
            head, _, tail = file.read().rpartition(")")
            state, parent = tail.split()[:2]
            if state != "Z":
                names[int(entry)] = head.partition("(")[2]
                children.setdefault(int(parent), []).append(int(entry))
    found, pending = [], [os.getpid()]
    while pending:
        for pid in children.get(pending.pop(), []):
            if _is_another_engine(pid, root):
                continue
            pending.append(pid)
            if names[pid].startswith("casemate-"):
                found.append(f"{pid} {names[pid]}")
    return found


def _is_another_engine(pid: int, root: str) -> bool:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
        words = file.read().split("\0")
        return "casemate.daemon" in words and root not in words
    return False


def bury() -> None:
    """Wait for the orphans that have ended; children that somebody else waits for stay."""
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{int(entry)}/stat") as file:
            head, _, tail = file.read().rpartition(")")
            state, parent = tail.split()[:2]
            if state == "Z" and int(parent) == os.getpid() and "(casemate-" in head:
                os.waitpid(int(entry), os.WNOHANG)


def _names(directory: str) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(os.listdir(directory))
    return []


def _mounts(below: str) -> list[str]:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return [line.strip() for line in file if below in line]


def _cgroups(name: str) -> list[str]:
    found = []
    for top in hierarchies():
        for directory, names, _ in os.walk(f"{top}/{name}"):
            found += [f"{directory}/{one}" for one in names]
    return found


def _interfaces(bridge: str) -> list[str]:
    shown = subprocess.run(
        ["ip", "-o", "link", "show", "master", bridge], check=False, capture_output=True, text=True
    )
    return [line.split(":")[1].strip() for line in shown.stdout.splitlines()]
