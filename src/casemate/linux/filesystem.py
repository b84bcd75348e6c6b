"""What kind of file system an open file is on. Source: man 2 fstatfs, linux/magic.h."""

from __future__ import annotations

import ctypes
import sys

from casemate.linux.libc import check, libc

#: Larger than struct statfs anywhere; its first member is f_type, a long.
_STATFS_BYTES = 256
_LONG_BYTES = ctypes.sizeof(ctypes.c_long)

#: What the kernel makes up as it is asked: no place for files, and endless to read.
_MADE_UP = {
    0x9FA0: "proc",
    0x62656572: "sysfs",
    0x27E0EB: "cgroup",
    0x63677270: "cgroup2",
    0x1CD1: "devpts",
    0x19800202: "mqueue",
    0xCAFE4A11: "bpf",
    0x64626720: "debugfs",
    0x74726163: "tracefs",
    0x73636673: "securityfs",
    0xF97CFF8C: "selinuxfs",
    0x5A3C69F0: "apparmorfs",
    0x43415D53: "smackfs",
    0x6165676C: "pstore",
    0xDE5E81E4: "efivarfs",
    0x62656570: "configfs",
    0x65735543: "fusectl",
    0x42494E4D: "binfmt_misc",
    0x67596969: "rpc_pipefs",
    0x6E736673: "nsfs",
}


def magic(descriptor: int) -> int:
    """Return the number of the file system's type. Raises OSError."""
    buffer = ctypes.create_string_buffer(_STATFS_BYTES)
    check(libc.fstatfs(descriptor, buffer), "fstatfs", descriptor)
    return int.from_bytes(buffer.raw[:_LONG_BYTES], sys.byteorder)


def made_up(descriptor: int) -> str:
    """Return the name of the kernel's own file system that an open file is on, "" for others."""
    return _MADE_UP.get(magic(descriptor) & 0xFFFFFFFF, "")
