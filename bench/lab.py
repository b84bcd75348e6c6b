"""The lab: mount, network and process namespaces of its own.

Bridges, firewall rules, mounts and processes of all peers are in it and go with it, however the
run ends. What survives namespaces are files below the working directory and cgroups, both with
known names, removed before and after.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence

from casemate.linux.cgroups import layout

#: The cgroup above those of all peers that can be told where to put theirs.
CGROUP = "casemate-bench"
INSIDE = "--inside"
#: Where peers write keys, addresses and caches wherever they are told to be: what they write goes
#: to the working directory, which therefore cannot be below one of these.
PRIVATE = ("/etc", "/opt", "/var/lib", "/var/cache")


def enter(arguments: Sequence[str], lock: int) -> int:
    """Run this program again in new namespaces, where it is process 1; return its exit status.

    It ends with this process, and the descriptor ``lock`` is open in it until then.
    """
    command = [
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child=KILL"),
        *("--propagation", "private", "--mount-proc"),
        *(sys.executable, os.path.abspath(sys.argv[0]), INSIDE, *arguments),
    ]
    return subprocess.run(command, check=False, pass_fds=[lock]).returncode


def furnish(work: str) -> None:
    """Make the new namespaces usable: the loopback, own /run, /sys and /etc, forwarding."""
    _do("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for place in filter(os.path.isdir, PRIVATE):
        upper, below = f"{work}/over{place}/upper", f"{work}/over{place}/work"
        os.makedirs(upper)
        os.makedirs(below)
        options = f"lowerdir={place},upperdir={upper},workdir={below}"
        _do("mount", "-t", "overlay", "-o", options, "overlay", place)
    # /sys shows the interfaces of the network namespace that it was mounted in.
    os.mkdir("/run/cgroup")
    _do("mount", "--rbind", "/sys/fs/cgroup", "/run/cgroup")
    _do("umount", "--recursive", "--lazy", "/sys")
    _do("mount", "-t", "sysfs", "sysfs", "/sys")
    _do("mount", "--move", "/run/cgroup", "/sys/fs/cgroup")
    os.rmdir("/run/cgroup")
    _do("ip", "link", "set", "lo", "up")
    with open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii") as file:
        file.write("1")


def bridge(name: str, address: str) -> None:
    """Make a bridge with ``address`` (A.B.C.D/N)."""
    _do("ip", "link", "add", name, "type", "bridge")
    _do("ip", "address", "add", address, "dev", name)
    _do("ip", "link", "set", name, "up")


@contextlib.contextmanager
def swept(work: str) -> Iterator[str]:
    """Give an empty directory below ``work``; it and the peers' cgroups are gone at the end."""
    directory = f"{work}/lab"
    _sweep(directory)
    os.makedirs(directory, mode=0o700)
    try:
        yield directory
    finally:
        _sweep(directory)


def remember_cgroup(directory: str, name: str) -> None:
    """Have the cgroup ``name`` of all hierarchies removed at the end of this or the next run."""
    with open(f"{directory}/cgroups", "a", encoding="utf-8") as file:
        file.write(f"{name}\n")


def _sweep(directory: str) -> None:
    names = {CGROUP}
    with contextlib.suppress(FileNotFoundError):
        with open(f"{directory}/cgroups", encoding="utf-8") as file:
            names.update(file.read().split())
    for hierarchy in layout.detect().hierarchies:
        for name in names:
            _remove_cgroups(f"{hierarchy.mount}/{name}")
    if os.path.isdir(directory):
        shutil.rmtree(directory)


def _remove_cgroups(top: str) -> None:
    for path, _, _ in os.walk(top, topdown=False):
        os.rmdir(path)


def _do(*command: str) -> None:
    subprocess.run(command, check=True)
