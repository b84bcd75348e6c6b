"""Who runs in a container: ``user[:group]`` against the image's passwd and group files.

The files are content of the image: bounded, read as data, never trusted for more than the names in
them. Source: man 5 passwd, man 5 group.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from casemate.errors import InvalidArgument

#: The largest id that is one: 2^32 - 1 means "none" to the kernel, and larger signed ids wrap.
MAX_ID = 2**31 - 1
_MAX_GROUPS = 1000


class Identity(NamedTuple):
    """Numeric user, group and supplementary groups, with the home directory of the user."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"


def resolve(text: str, passwd: bytes, group: bytes, extra: tuple[str, ...] = ()) -> Identity:
    """Return the identity that ``text`` names; an empty one is user 0.

    ``passwd`` and ``group`` are the files of the root, empty when there are none; ``extra`` are
    more groups to be in, by name or number. A number means a number, whatever names the files
    hold (CVE-2016-3697). Raises InvalidArgument.
    """
    user_text, _, group_text = text.partition(":")
    users = list(_users(passwd))
    user = _find_user(user_text or "0", users)
    groups = list(_groups(group))
    gid = _group_id(group_text, groups) if group_text else user.gid
    member_of = () if group_text else tuple(g.gid for g in groups if user.name in g.members)
    wanted = [gid, *member_of, *(_group_id(name, groups) for name in extra)]
    distinct = tuple(dict.fromkeys(wanted))
    if len(distinct) > _MAX_GROUPS:
        raise InvalidArgument(f"user {user_text[:80]} is in more than {_MAX_GROUPS} groups")
    return Identity(user.uid, gid, distinct, user.home)


class _User(NamedTuple):
    name: str
    uid: int
    gid: int
    home: str


class _Group(NamedTuple):
    name: str
    gid: int
    members: frozenset[str]


def _users(passwd: bytes) -> Iterator[_User]:
    for fields in _lines(passwd, 7):
        uid, gid = _id(fields[2]), _id(fields[3] or "0")
        if uid is not None and gid is not None:
            yield _User(fields[0], uid, gid, fields[5] or "/")


def _groups(group: bytes) -> Iterator[_Group]:
    for fields in _lines(group, 4):
        gid = _id(fields[2])
        if gid is not None:
            yield _Group(fields[0], gid, frozenset(filter(None, fields[3].split(","))))


def _lines(data: bytes, fields: int) -> Iterator[list[str]]:
    """Yield the lines with a name and an id; fields that a short line lacks are empty."""
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        parts = line.strip().split(":")
        if len(parts) >= 3 and parts[0] and "\0" not in line and not line.startswith("#"):
            yield parts + [""] * (fields - len(parts))


def _find_user(text: str, users: list[_User]) -> _User:
    number = _number(text, "user")
    for user in users:
        if user.uid == number if number is not None else user.name == text:
            return user
    if number is None:
        raise InvalidArgument(
            f"unable to find user {text[:80]}: no matching entries in passwd file"
        )
    return _User("", number, 0, "/")


def _group_id(text: str, groups: list[_Group]) -> int:
    number = _number(text, "group")
    if number is not None:
        return number
    for group in groups:
        if group.name == text:
            return group.gid
    raise InvalidArgument(f"unable to find group {text[:80]}: no matching entries in group file")


def _number(text: str, kind: str) -> int | None:
    """Return ``text`` as an id, None for a name. Raises InvalidArgument for a number that is no
    id.
    """
    if text.isascii() and text.isdigit():
        value = _id(text)
        if value is None:
            raise InvalidArgument(f"{kind} {text[:40]} is out of range: 0 to {MAX_ID}")
        return value
    if text[:1].isdigit() or text[:1] in "-+" or not text.isprintable():
        raise InvalidArgument(f"invalid {kind} {text[:40]!r}: neither a name nor a number")
    return None


def _id(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    value = int(text)
    return value if value <= MAX_ID else None
