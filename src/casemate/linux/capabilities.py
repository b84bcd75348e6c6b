"""Capability names and bits, and what this process has.

Source: linux/capability.h; capabilities(7); proc_pid_status(5).
"""

from __future__ import annotations

from collections.abc import Iterable

NAMES = (
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID"),
    *("CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE"),
    *("CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW"),
    *("CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT"),
    *("CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE"),
    *("CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE"),
    *("CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE"),
    *("CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND"),
    *("CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE"),
)
_BITS = {name: bit for bit, name in enumerate(NAMES)}


def mask(names: Iterable[str]) -> int:
    """Return the bits of ``names``; raises KeyError for a name that is not in NAMES."""
    bits = 0
    for name in names:
        bits |= 1 << _BITS[name]
    return bits


def names(bits: int) -> tuple[str, ...]:
    """Return the names of ``bits`` in the order of the bits; bits above the last are left out."""
    return tuple(name for bit, name in enumerate(NAMES) if bits >> bit & 1)


def last(proc: str = "/proc") -> int:
    """Return the highest bit that the kernel knows; it may be above the last of NAMES."""
    with open(f"{proc}/sys/kernel/cap_last_cap", "rb") as file:
        return int(file.read(32))


def bounding(proc: str = "/proc") -> int:
    """Return this process's bounding set: the most that a program started by it can have."""
    return _status(proc, b"CapBnd:")


def effective(proc: str = "/proc") -> int:
    """Return the capabilities that this process holds now."""
    return _status(proc, b"CapEff:")


def _status(proc: str, key: bytes) -> int:
    with open(f"{proc}/thread-self/status", "rb") as file:
        for line in file:
            if line.startswith(key):
                return int(line[len(key) :], 16)
    raise OSError(f"{proc}/thread-self/status has no line {key.decode()}")
