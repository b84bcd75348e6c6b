"""What the kernel says of the walls around a process; nothing that is remembered is asked.

Source: man 5 proc_pid_status, proc_pid_ns, proc_pid_uid_map, proc_pid_mountinfo, proc_pid_attr.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from casemate.linux import inroot, mount
from casemate.linux.mount import Mount
from casemate.runtime.namespaces.clone import PROC_NAMES

_MOUNT_ID = re.compile(r"^mnt_id:\s*([0-9]+)$", re.MULTILINE)
_LABEL_BYTES = 4096
#: How the kernel calls resource limits, in a column of this width. Source: linux fs/proc/base.c.
_LIMIT_COLUMN = 26
_LIMITS = {
    "Max address space": "AS",
    "Max core file size": "CORE",
    "Max cpu time": "CPU",
    "Max data size": "DATA",
    "Max file size": "FSIZE",
    "Max file locks": "LOCKS",
    "Max locked memory": "MEMLOCK",
    "Max msgqueue size": "MSGQUEUE",
    "Max nice priority": "NICE",
    "Max open files": "NOFILE",
    "Max processes": "NPROC",
    "Max resident set": "RSS",
    "Max realtime priority": "RTPRIO",
    "Max realtime timeout": "RTTIME",
    "Max pending signals": "SIGPENDING",
    "Max stack size": "STACK",
}

IdMap = tuple[tuple[int, int, int], ...]  # first inside, first outside, how many


class Seen(NamedTuple):
    """The walls of one process. ``namespaces`` are by kind, such as ``net:[4026531840]``.

    ``status`` are the lines of its status by name. ``root`` is what its ``/`` is on, ``covers``
    what each path that was asked for is on, None where nothing is there. ``label`` is that of the
    security module, "" without one.
    """

    namespaces: Mapping[str, str]
    status: Mapping[str, str]
    uid_map: IdMap
    gid_map: IdMap
    root: Mount | None
    covers: Mapping[str, Mount | None]
    oom_score_adj: int
    label: str
    rlimits: Mapping[str, tuple[int, int]]


def namespaces(pid: int | str) -> dict[str, str]:
    """Return the namespaces of a process, of those kinds that the kernel has. Raises OSError."""
    found = {}
    for kind, name in PROC_NAMES.items():
        try:
            found[kind] = os.readlink(f"/proc/{pid}/ns/{name}")
        except FileNotFoundError:
            pass  # an older kernel; a process that has ended is found out by what comes next
    return found


def read(pid: int, paths: Iterable[str]) -> Seen:
    """Return the walls of the process ``pid``, and what is on ``paths``. Raises OSError."""
    mounts = {entry.id: entry for entry in mount.mounts(f"/proc/{pid}/mountinfo")}
    root = inroot.open_root(f"/proc/{pid}/root")
    try:
        return Seen(
            namespaces=namespaces(pid),
            status=parse_status(_text(pid, "status")),
            uid_map=parse_map(_text(pid, "uid_map")),
            gid_map=parse_map(_text(pid, "gid_map")),
            root=mounts.get(_mount_id(root)),
            covers={path: _on(root, path, mounts) for path in paths},
            oom_score_adj=int(_text(pid, "oom_score_adj")),
            label=_label(pid),
            rlimits=parse_limits(_text(pid, "limits")),
        )
    finally:
        os.close(root)


def host_map() -> tuple[IdMap, IdMap]:
    """Return the maps of users and groups of the engine's own user namespace."""
    return parse_map(_text("self", "uid_map")), parse_map(_text("self", "gid_map"))


def workload(first: int) -> int:
    """Return the program behind the init process ``first``, or that itself when it has none."""
    children = _text(first, f"task/{first}/children").split()
    return int(children[0]) if children else first


def parse_status(text: str) -> dict[str, str]:
    """Return the lines of a status file by name."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, separator, value in pairs if separator}


def parse_map(text: str) -> IdMap:
    """Return the lines of a uid_map or gid_map. Raises ValueError for what is none."""
    lines = (line.split() for line in text.splitlines())
    return tuple((int(inside), int(outside), int(count)) for inside, outside, count in lines)


def parse_limits(text: str) -> dict[str, tuple[int, int]]:
    """Return soft and hard limits by name like ``RLIMIT_NOFILE``, -1 for none."""
    found = {}
    for line in text.splitlines():
        words = line[_LIMIT_COLUMN:].split()
        name = _LIMITS.get(line[:_LIMIT_COLUMN].rstrip())
        if name and len(words) >= 2:
            soft, hard = (-1 if word == "unlimited" else int(word) for word in words[:2])
            found[f"RLIMIT_{name}"] = soft, hard
    return found


def is_hidden(entry: Mount) -> bool:
    """Tell whether a path on ``entry`` is masked: by a null device, or by nothing for ever."""
    return entry.filesystem in ("tmpfs", "devtmpfs") and (
        entry.root == "/null" or is_readonly(entry)
    )


def is_readonly(entry: Mount) -> bool:
    """Tell whether what is on ``entry`` cannot be written."""
    return "ro" in entry.options or "ro" in entry.super_options


def _on(root: int, path: str, mounts: Mapping[int, Mount]) -> Mount | None:
    try:
        descriptor = inroot.open_in(root, path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return mounts.get(_mount_id(descriptor))
    finally:
        os.close(descriptor)


def _mount_id(descriptor: int) -> int:
    found = _MOUNT_ID.search(_text("self", f"fdinfo/{descriptor}"))
    return int(found[1]) if found else -1


def _label(pid: int) -> str:
    try:
        return _text(pid, "attr/current").rstrip("\0\n")[:_LABEL_BYTES]
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT, errno.EOPNOTSUPP):
            return ""
        raise


def _text(pid: int | str, name: str) -> str:
    with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="backslashreplace") as file:
        return file.read()
