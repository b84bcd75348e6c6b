"""Mount options as mount(8) and the OCI runtime spec spell them, taken apart.

Source: runtime-spec v1.2 config.md, section Linux mount options; linux/mount.h.
"""

from __future__ import annotations

from typing import NamedTuple

from casemate.errors import InvalidArgument
from casemate.linux.mount import MS_PRIVATE, MS_SHARED, MS_SLAVE

# linux/mount.h, MOUNT_ATTR_*.
RDONLY = 0x01
NOSUID = 0x02
NODEV = 0x04
NOEXEC = 0x08
NOATIME = 0x10
STRICTATIME = 0x20
_ATIME = 0x70
NODIRATIME = 0x80
NOSYMFOLLOW = 0x200000

_MS_UNBINDABLE = 1 << 17  # linux/fs.h

_SET = {
    "ro": RDONLY,
    "nosuid": NOSUID,
    "nodev": NODEV,
    "noexec": NOEXEC,
    "nodiratime": NODIRATIME,
    "nosymfollow": NOSYMFOLLOW,
}
_CLEAR = {
    "rw": RDONLY,
    "suid": NOSUID,
    "dev": NODEV,
    "exec": NOEXEC,
    "diratime": NODIRATIME,
    "symfollow": NOSYMFOLLOW,
}
_ATIMES = {"noatime": NOATIME, "strictatime": STRICTATIME, "relatime": 0}
_PROPAGATION = {
    "private": MS_PRIVATE,
    "slave": MS_SLAVE,
    "shared": MS_SHARED,
    "unbindable": _MS_UNBINDABLE,
}
_NOTHING = frozenset({"defaults", "async", "atime", "norelatime", "nostrictatime"})


class MountOptions(NamedTuple):
    """Attributes to set and clear, and what is left for the file system itself.

    The ``recursive`` fields apply to the mounts below a bind as well. ``idmap`` has owners shown
    as the container's user namespace maps them.
    """

    set: int = 0
    clear: int = 0
    recursive_set: int = 0
    recursive_clear: int = 0
    propagation: int = 0
    propagation_recursive: bool = False
    bind: bool = False
    recursive_bind: bool = False
    idmap: bool = False
    idmap_recursive: bool = False
    data: tuple[str, ...] = ()


def parse(options: tuple[str, ...], destination: str) -> MountOptions:
    """Take ``options`` apart; ``destination`` names the mount in errors."""
    out = MountOptions()
    for option in options:
        out = _one(out, option, destination)
    return out


def _one(out: MountOptions, option: str, destination: str) -> MountOptions:
    if option in _SET:
        return out._replace(set=out.set | _SET[option], clear=out.clear & ~_SET[option])
    if option in _CLEAR:
        return out._replace(clear=out.clear | _CLEAR[option], set=out.set & ~_CLEAR[option])
    if option in _ATIMES:
        return out._replace(set=out.set & ~_ATIME | _ATIMES[option], clear=out.clear | _ATIME)
    if option in _PROPAGATION:
        return out._replace(propagation=_PROPAGATION[option], propagation_recursive=False)
    if option[:1] == "r" and option[1:] in _PROPAGATION:
        return out._replace(propagation=_PROPAGATION[option[1:]], propagation_recursive=True)
    if option in ("bind", "rbind"):
        return out._replace(bind=True, recursive_bind=option == "rbind")
    if option[:1] == "r" and option[1:] in _SET:
        bit = _SET[option[1:]]
        return out._replace(
            recursive_set=out.recursive_set | bit, recursive_clear=out.recursive_clear & ~bit
        )
    if option[:1] == "r" and option[1:] in _CLEAR:
        bit = _CLEAR[option[1:]]
        return out._replace(
            recursive_clear=out.recursive_clear | bit, recursive_set=out.recursive_set & ~bit
        )
    if option in ("idmap", "ridmap"):
        return out._replace(idmap=True, idmap_recursive=option == "ridmap")
    if option in _NOTHING:
        return out
    if out.bind or not option or option in ("remount", "move"):
        raise InvalidArgument(f"cannot mount {destination}: unknown mount option {option!r}")
    return out._replace(data=(*out.data, option))
