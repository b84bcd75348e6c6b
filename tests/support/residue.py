"""What tests could leave behind on the machine: mounts, cgroups, processes, interfaces.

What belongs to an engine that lives is not left behind. Other sessions on the same machine may
come and go meanwhile; then nothing is said about what nobody can attribute.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from casemate.composition import instance_name
from casemate.engine.paths import Paths

_PATIENCE_S = 5.0
_MEMORY_FILE = "/memfd:casemate-shim"
#: Names of directories that tests make, and of interfaces, cgroups and tables of engines.
_PLACES = ("casemate-", "pytest-of-")
_INTERFACES = ("casemate", "cm")


class Lock:
    """Held together by all sessions that need root; one that has it alone can attribute all."""

    def __init__(self) -> None:
        path = f"{tempfile.gettempdir()}/casemate-tests-{os.geteuid()}.lock"
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def alone(self) -> bool:
        """Tell whether there is no other session."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            fcntl.flock(self._file, fcntl.LOCK_SH)
        return True

    def close(self) -> None:
        """Let go."""
        os.close(self._file)


def left_since(before: set[str]) -> set[str]:
    """Return what is there and was not ``before``; what is going is waited for."""
    until = time.monotonic() + _PATIENCE_S
    while (left := found() - before) and time.monotonic() < until:
        time.sleep(0.02)  # the kernel takes namespaces down when it has time
    return left


def found() -> set[str]:
    """Return everything that could be left behind now."""
    roots = set(_engines())
    return {*_mounts(roots), *_cgroups(roots), *_processes(roots), *_interfaces(roots)}


def _engines() -> Iterator[str]:
    """Yield the data roots of the engines that live."""
    for pid in _pids():
        words = _read(f"/proc/{pid}/cmdline").split("\0")
        if "casemate.daemon" in words and "--root" in words:
            yield os.path.abspath(words[words.index("--root") + 1])


def _names(roots: set[str]) -> set[str]:
    return {instance_name(Paths(root, f"{root}.run")) for root in roots}


def _mounts(roots: set[str]) -> Iterator[str]:
    own = {os.path.dirname(root) for root in roots}
    for line in _read("/proc/self/mountinfo").splitlines():
        path = line.split(" ")[4]
        if any(part.startswith(_PLACES) for part in path.split("/")):
            if not any(path.startswith(f"{place}/") for place in own):
                yield f"mount {path}"


def _cgroups(roots: set[str]) -> Iterator[str]:
    live = _names(roots)
    for line in _read("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        if not after.startswith("cgroup"):
            continue
        mount = before.split(" ")[4]
        with contextlib.suppress(OSError):
            for name in os.listdir(mount):
                path = f"{mount}/{name}"
                if name.startswith("casemate") and name not in live and os.path.isdir(path):
                    # The engine's own cgroup may stay; what was in it may not.
                    yield from (f"cgroup {p}" for p in _directories(path))


def _directories(path: str) -> list[str]:
    with contextlib.suppress(OSError):
        return [f"{path}/{n}" for n in os.listdir(path) if os.path.isdir(f"{path}/{n}")]
    return []


def _processes(roots: set[str]) -> Iterator[str]:
    shims = {pid for pid in _pids() if _link(f"/proc/{pid}/exe").startswith(_MEMORY_FILE)}
    for pid in shims:
        if _parent(pid) in shims or _is_of_an_engine(pid, roots):
            continue
        yield f"process {pid} {_read(f'/proc/{pid}/comm').strip()}"


def _is_of_an_engine(pid: str, roots: set[str]) -> bool:
    """Tell whether a supervisor is an engine's child, or was, and has its state in its root."""
    words = _read(f"/proc/{_parent(pid)}/cmdline").split("\0")
    if "casemate.daemon" in words:
        return True
    with contextlib.suppress(OSError):
        links = [_link(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")]
        return any(link.startswith(f"{root}/") for link in links for root in roots)
    return False


def _interfaces(roots: set[str]) -> Iterator[str]:
    if roots:
        return  # their names do not tell whose they are
    for name in os.listdir("/sys/class/net"):
        if name.startswith(_INTERFACES):
            yield f"interface {name}"


def _pids() -> list[str]:
    return [name for name in os.listdir("/proc") if name.isdigit()]


def _parent(pid: str) -> str:
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[1] if len(fields) > 1 else ""


def _link(path: str) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(path)
    return ""


def _read(path: str) -> str:
    with contextlib.suppress(OSError):
        return Path(path).read_text(errors="replace")
    return ""
