"""Landlock's rules for a container: a second lock behind the mounts and the network namespace.

Reading is not restricted. Writing is, to where the mounts allow it as well; device nodes cannot be
made anywhere. A process that gets around the mounts, say through a hole in one, still cannot write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from casemate.linux import landlock
from casemate.oci.runtime import Mount, RuntimeSpec

_CONTENT = landlock.WRITE_FILE | landlock.TRUNCATE
_NAMES = (
    landlock.REMOVE_DIR
    | landlock.REMOVE_FILE
    | landlock.MAKE_DIR
    | landlock.MAKE_REG
    | landlock.MAKE_SOCK
    | landlock.MAKE_FIFO
    | landlock.MAKE_SYM
    | landlock.REFER
)
_NODES = landlock.MAKE_CHAR | landlock.MAKE_BLOCK
#: Existing files only: the masks and read-only paths of /proc, the nodes of /dev.
_SPECIAL = {"/proc": _CONTENT, "/dev": _CONTENT | landlock.IOCTL_DEV}
_READ_ONLY = frozenset({"ro", "rro"})


class Ruleset(NamedTuple):
    """What is restricted, as the kernel's bits, and what is ``allowed`` beneath which path."""

    files: int
    network: int
    scopes: int
    allowed: tuple[tuple[str, int], ...]


def rules(
    spec: RuntimeSpec, directories: Mapping[str, bool], *, network: bool, version: int
) -> Ruleset | None:
    """Return the rules for a container, None where the kernel's ``version`` is 0.

    ``directories`` tells which sources of binds are directories. Without a ``network`` there is no
    TCP, not even to oneself.
    """
    if not version:
        return None
    known = _known(version)
    tcp = landlock.BIND_TCP | landlock.CONNECT_TCP
    return Ruleset(
        files=(_CONTENT | _NAMES | _NODES | landlock.IOCTL_DEV) & known,
        network=tcp if not network and version >= landlock.SINCE_NETWORK else 0,
        scopes=landlock.SCOPE_ABSTRACT_UNIX_SOCKET if version >= landlock.SINCE_SCOPES else 0,
        allowed=tuple((path, bits & known) for path, bits in _writable(spec, directories)),
    )


def _writable(spec: RuntimeSpec, directories: Mapping[str, bool]) -> Iterator[tuple[str, int]]:
    if not spec.root.readonly:
        yield "/", _CONTENT | _NAMES
    for mount in spec.mounts:
        if mount.destination in _SPECIAL and mount.type != "bind":
            yield mount.destination, _SPECIAL[mount.destination]
        elif _READ_ONLY.isdisjoint(mount.options):
            yield mount.destination, _of(mount, directories)


def _of(mount: Mount, directories: Mapping[str, bool]) -> int:
    a_file = mount.type == "bind" and not directories.get(mount.source, True)
    return _CONTENT if a_file else _CONTENT | _NAMES


def _known(version: int) -> int:
    bits = (1 << 16) - 1
    for bit, since in landlock.SINCE_FILES.items():
        if version < since:
            bits &= ~bit
    return bits
