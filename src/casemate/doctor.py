"""``casemate doctor``: what this machine can do, what is missing, and which package brings it.

A program of its own, since it must work where no engine can start. May import ``errors``,
``linux``, ``network`` and ``snapshot``; changes nothing that it does not undo.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from casemate.errors import Error
from casemate.linux import capabilities, nftables
from casemate.linux.cgroups import layout
from casemate.linux.cgroups.hierarchies import Hierarchies
from casemate.network import findings as network_findings
from casemate.network import subnets
from casemate.network.model import Network
from casemate.snapshot import probe

Verdict = Literal["ok", "note", "missing"]

_MARKS = {"ok": "ok", "note": "note", "missing": "MISSING"}
_COLOURS = {"ok": "\x1b[32m", "note": "\x1b[33m", "missing": "\x1b[31m"}
_OLDEST_KERNEL = (5, 12)
_NEEDED = (
    *("CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_MKNOD", "CAP_CHOWN"),
    *("CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_SYS_CHROOT", "CAP_SETPCAP"),
)
_NAMESPACES = ("mnt", "uts", "ipc", "pid", "net", "cgroup", "time", "user")


class Finding(NamedTuple):
    """One thing about the machine. ``missing`` keeps containers from running."""

    what: str
    verdict: Verdict
    detail: str
    hint: str = ""


def findings() -> Iterator[Finding]:
    """Yield everything that is to be known."""
    for look in _LOOKS:
        try:
            yield from look()
        except (Error, OSError) as error:
            yield Finding(look.__name__.strip("_"), "missing", str(error))


def _kernel() -> Iterator[Finding]:
    release = os.uname().release
    version = tuple(int(p) for p in release.split("-")[0].split(".")[:2])
    verdict: Verdict = "ok" if version >= _OLDEST_KERNEL else "missing"
    yield Finding("kernel", verdict, f"{release} on {os.uname().machine}", "Linux 5.12 or newer")


def _privileges() -> Iterator[Finding]:
    if os.geteuid():
        yield Finding("privileges", "missing", "not root", "run as root: sudo casemate …")
        return
    held = capabilities.names(capabilities.bounding("/proc"))
    lacking = [name for name in _NEEDED if name not in held]
    if lacking:
        yield Finding("privileges", "missing", f"root without {', '.join(lacking)}")
    else:
        yield Finding("privileges", "ok", f"root with {len(held)} capabilities")
    if "CAP_SYS_RESOURCE" not in held:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        detail = f"no CAP_SYS_RESOURCE: --ulimit cannot exceed the hard limits (nofile {hard})"
        yield Finding("limits", "note", detail)


def _namespaces() -> Iterator[Finding]:
    have = [n for n in _NAMESPACES if os.path.exists(f"/proc/self/ns/{n}")]
    lacking = [n for n in _NAMESPACES if n not in have]
    verdict: Verdict = "ok" if not set(lacking) - {"time", "user"} else "missing"
    detail = ", ".join(have) + (f"; not {', '.join(lacking)}" if lacking else "")
    yield Finding("namespaces", verdict, detail)


def _seccomp() -> Iterator[Finding]:
    have = os.path.exists("/proc/sys/kernel/seccomp/actions_avail")
    yield Finding("seccomp", "ok" if have else "missing", "filters" if have else "no filters")


def _cgroups() -> Iterator[Finding]:
    hierarchies = Hierarchies(layout.detect())
    try:
        features = hierarchies.features()
        controllers = sorted(features.controllers)
        lacking = [c for c in ("memory", "cpu", "pids") if c not in features.controllers]
        detail = f"{hierarchies.layout.mode}: {', '.join(controllers)}"
        if lacking:
            yield Finding("cgroups", "note", f"{detail}; no limits for {', '.join(lacking)}")
        else:
            yield Finding("cgroups", "ok", detail)
        if not features.swap:
            yield Finding("swap limit", "note", "the kernel does not count swap by cgroup")
    finally:
        hierarchies.close()


def _layers() -> Iterator[Finding]:
    with tempfile.TemporaryDirectory(dir="/var/lib", prefix="casemate-doctor-") as place:
        why = probe.why_not_erofs(place)
        if why is None:
            yield Finding("image layers", "ok", "mounted where they are (erofs)")
            return
        other = probe.why_not_directories(place)
    if other is None:
        detail = f"unpacked into directories: {why}"
        yield Finding("image layers", "note", detail, "Linux 6.12 mounts them where they are")
    else:
        yield Finding("image layers", "missing", other, "the kernel needs CONFIG_OVERLAY_FS")


def _network() -> Iterator[Finding]:
    try:
        tables = nftables.connect()
    except Error as error:
        yield Finding("firewall", "missing", error.message, error.hint or "")
        return
    yield Finding("firewall", "ok", f"nftables by {type(tables).__name__.lower()}")
    example = Network("", "bridge", "bridge", (subnets.parse("172.17.0.0/16"),), bridge="casemate0")
    for found in network_findings.findings(tables, [example], "casemate"):
        yield Finding("network", "note", found.message, found.hint)


def _modules() -> Iterator[Finding]:
    active = "/sys/kernel/security/lsm"
    try:
        with open(active, encoding="ascii") as file:
            detail = file.read().strip()
    except OSError:
        detail = "cannot be read"
    yield Finding("security modules", "ok", detail)


def _programs() -> Iterator[Finding]:
    for name, package, what in (
        ("mmdebstrap", "mmdebstrap", "casemate bootstrap debian"),
        ("busybox", "busybox-static", "casemate bootstrap busybox"),
    ):
        if shutil.which(name):
            yield Finding(name, "ok", f"for {what}")
        else:
            yield Finding(name, "note", f"not there: needed for {what}", f"apt install {package}")


_LOOKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _kernel,
    _privileges,
    _namespaces,
    _seccomp,
    _cgroups,
    _layers,
    _network,
    _modules,
    _programs,
)


def _printed(found: list[Finding]) -> str:
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    lines = []
    for one in found:
        mark = f"{_MARKS[one.verdict]:<8}"
        if colour:
            mark = f"{_COLOURS[one.verdict]}{mark}\x1b[0m"
        lines.append(f"{mark}{one.what:<18}{one.detail}")
        if one.hint and one.verdict != "ok":
            lines.append(f"{'':<26}→ {one.hint}")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Print the findings; 1 when something is missing that containers need."""
    if arguments not in ([], ["--format", "json"], ["--format=json"]):
        sys.stderr.write("usage: casemate doctor [--format json]\n")
        return 2
    found = list(findings())
    if arguments:
        sys.stdout.write(json.dumps([one._asdict() for one in found], indent=2) + "\n")
    else:
        sys.stdout.write(_printed(found) + "\n")
    return int(any(one.verdict == "missing" for one in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
