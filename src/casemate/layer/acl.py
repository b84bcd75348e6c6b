"""POSIX ACLs as archives tell them, in words, and as the kernel keeps them, in an attribute.

GNU tar and star write ``user::rwx,user:1000:r-x,group::r-x,mask::r-x,other::r--``; star puts the
number of a name behind the permissions.

Source: star(5), SCHILY.acl; acl(5); linux/posix_acl_xattr.h.
"""

from __future__ import annotations

import re
import struct

from casemate.layer.pax import BadRecord

#: What the records are called, and the attributes that they become.
RECORDS = {
    b"SCHILY.acl.access": b"system.posix_acl_access",
    b"SCHILY.acl.default": b"system.posix_acl_default",
}
_TAGS = {b"user": (0x01, 0x02), b"group": (0x04, 0x08), b"mask": (0x10, 0), b"other": (0x20, 0)}
_NAMED, _NEEDED, _MASK = (0x02, 0x08), (0x01, 0x04, 0x20), 0x10
_NOBODY = 0xFFFFFFFF
_ENTRY = struct.Struct("<HHI")
_FIELDS = re.compile(rb"(user|group|mask|other):([^:]*):([r-][w-][x-])(?::([0-9]{1,10}))?")


def attribute(text: bytes) -> bytes | None:
    """Return the value of the attribute that the record ``text`` stands for.

    None for one that names users or groups without their numbers, as nobody here knows them, and
    for one that says no more than the mode. Raises BadRecord for what is no ACL.
    """
    entries: dict[tuple[int, int], int] = {}
    for line in re.split(rb"[,\n]", text):
        if not line.strip():
            continue
        match = _FIELDS.fullmatch(line.strip())
        if not match:
            raise BadRecord("has an ACL with an entry that is none")
        kind, who, permissions, number = match.groups()
        own, named = _TAGS[kind]
        id_ = _NOBODY
        if who:
            known = number or who
            if not known.isdigit():
                return None
            id_ = int(known)
        tag = named if who else own
        if not tag or (who and id_ >= _NOBODY) or (tag, id_) in entries:
            raise BadRecord("has an ACL with an entry that is none")
        entries[tag, id_] = sum(
            bit for bit, c in zip((4, 2, 1), permissions, strict=True) if c != 0x2D
        )
    return _packed(entries)


def _packed(entries: dict[tuple[int, int], int]) -> bytes | None:
    tags = [tag for tag, _ in entries]
    if any(tags.count(tag) != 1 for tag in _NEEDED):
        raise BadRecord("has an ACL that does not tell of owner, group and others")
    if _MASK not in tags and any(tag in _NAMED for tag in tags):
        raise BadRecord("has an ACL with names and without a mask")
    if len(tags) == len(_NEEDED):
        return None
    packed = (_ENTRY.pack(tag, entries[tag, id_], id_) for tag, id_ in sorted(entries))
    return b"\2\0\0\0" + b"".join(packed)
