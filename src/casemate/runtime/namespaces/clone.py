"""The kinds of namespaces: as flags of clone(2), and as /proc names them.

Source: linux/sched.h; man 7 namespaces.
"""

from __future__ import annotations

CLONE_FLAGS = {
    "time": 0x80,
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "network": 0x40000000,
}

PROC_NAMES = {
    "mount": "mnt",
    "uts": "uts",
    "ipc": "ipc",
    "pid": "pid",
    "network": "net",
    "cgroup": "cgroup",
    "user": "user",
    "time": "time",
}
