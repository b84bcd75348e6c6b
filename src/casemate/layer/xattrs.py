"""Which extended attributes of an archive a layer may have.

An archive may not speak to overlayfs: ``trusted.overlay.*`` would let it redirect or hide. The
attributes ``user.overlay.*`` are plain data to an overlay that is mounted without ``userxattr``,
and casemate mounts none with it. Names of a class that Linux does not know (such as com.apple.*)
could not exist in a container and are left out, as every engine leaves them out.
"""

from __future__ import annotations

from casemate.layer.names import BadName, shown
from casemate.layer.tar import Kind

#: XATTR_NAME_MAX and XATTR_SIZE_MAX of linux/limits.h; the latter less one, as EROFS has 16 bits.
NAME_MAX, VALUE_MAX = 255, 65535

ACLS = frozenset((b"system.posix_acl_access", b"system.posix_acl_default"))
OVERLAY = b"trusted.overlay."
_CLASSES = (b"user.", b"trusted.", b"security.")


def checked(found: dict[bytes, bytes], kind: Kind) -> dict[bytes, bytes] | None:
    """Return the attributes that a node of ``kind`` keeps, None for none. Raises BadName."""
    kept = {}
    for name, value in found.items():
        if name.startswith(OVERLAY):
            raise BadName(f"has the attribute {shown(name)}, which belongs to overlayfs")
        if len(name) > NAME_MAX or len(value) > VALUE_MAX or b"\0" in name:
            raise BadName(f"has the attribute {shown(name)}, which no file can have")
        if name in ACLS:
            _check_acl(name, value)
        if _possible(name, kind):
            kept[name] = value
    return kept or None


def _possible(name: bytes, kind: Kind) -> bool:
    """Return whether the kernel lets a file of ``kind`` have an attribute of this class."""
    if name in ACLS:
        return kind == "directory" or (kind != "symlink" and name.endswith(b"access"))
    if name.startswith(b"user."):
        return kind in ("file", "directory") and len(name) > len(b"user.")
    return name.startswith(_CLASSES) and not name.endswith(b".")


def _check_acl(name: bytes, value: bytes) -> None:
    """Refuse what is no POSIX ACL: a version, then entries of 8 bytes.

    Source: linux/posix_acl_xattr.h.
    """
    if value[:4] != b"\2\0\0\0" or len(value) % 8 != 4:
        raise BadName(f"has a value of {shown(name)} that is no POSIX ACL")
