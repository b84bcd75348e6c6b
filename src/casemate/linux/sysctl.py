"""The kernel's settings under /proc/sys, of this process's namespaces.

Source: man 5 proc, Documentation/admin-guide/sysctl.
"""

from __future__ import annotations

import os

_ROOT = "/proc/sys/"


def read(key: str) -> str:
    """Return the value of ``key``, written with slashes: ``net/ipv4/ip_forward``."""
    fd = os.open(_path(key), os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 65536).decode().strip()
    finally:
        os.close(fd)


def write(key: str, value: str) -> None:
    """Set ``key`` to ``value``."""
    fd = os.open(_path(key), os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode() + b"\n")
    finally:
        os.close(fd)


def _path(key: str) -> str:
    if not all(part not in ("", ".", "..") for part in key.split("/")):
        raise ValueError(f"invalid sysctl {key!r}: a part is empty or made of dots")
    return _ROOT + key
