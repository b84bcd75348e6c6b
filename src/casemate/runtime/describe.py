"""A plan's steps for people: numbers by the names that the kernel's headers give them."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping

from casemate.linux import capabilities, mount
from casemate.runtime.namespaces.clone import CLONE_FLAGS
from casemate.runtime.namespaces.identity import RESOURCES
from casemate.runtime.steps import SIGNATURES, Operand, Step

_OPEN = {"path": os.O_PATH, "directory": os.O_DIRECTORY, "write": os.O_WRONLY}
# linux/openat2.h.
_RESOLVE = {
    "no-xdev": 0x01,
    "no-magic-links": 0x02,
    "no-symlinks": 0x04,
    "beneath": 0x08,
    "in-root": 0x10,
}
_TREE = {
    "clone": mount.OPEN_TREE_CLONE,
    "itself": mount.AT_EMPTY_PATH,
    "recursive": mount.AT_RECURSIVE,
}
_ATTRIBUTES = {
    "ro": 0x01,
    "nosuid": 0x02,
    "nodev": 0x04,
    "noexec": 0x08,
    "noatime": 0x10,
    "strictatime": 0x20,
    "nodiratime": 0x80,
    "nosymfollow": 0x200000,
}
_PROPAGATION = {
    "unbindable": 1 << 17,
    "private": mount.MS_PRIVATE,
    "slave": mount.MS_SLAVE,
    "shared": mount.MS_SHARED,
}
_PLACES = {0: "directory", 1: "file", 2: "real directory"}
_ON_PROC = 8
_TYPES = {0o020000: "c", 0o060000: "b", 0o010000: "p"}
_LIMITS = {number: name for name, number in RESOURCES.items()}
_UNLIMITED = 0xFFFFFFFFFFFFFFFF


def line(step: Step) -> str:
    """Return one step as a line of text."""
    shown: list[str] = []
    numbers: list[int] = []
    for kind, value in zip(SIGNATURES[step.op], step.operands, strict=True):
        if isinstance(value, int):
            numbers.append(value)
        else:
            shown.append(_operand(step.op, kind, value))
    words = _NUMBERS.get(step.op, _plain)(*numbers) if numbers else ""
    return f"{step.op:<14}" + " ".join(part for part in (*shown, words) if part)


def _operand(op: str, kind: str, value: Operand) -> str:
    if isinstance(value, bytes):
        if op == "groups":
            return ",".join(map(str, struct.unpack(f"<{len(value) // 4}I", value))) or "none"
        if op == "seccomp":
            return f"{len(value) // 8} instructions"
        return repr(value.decode("utf-8", "replace"))
    if isinstance(value, tuple):
        return repr(list(value))
    return {"w": f"{value} ←", "r": f"[{value}]"}.get(kind, repr(value))


def _bits(value: int, names: Mapping[str, int]) -> str:
    found = [name for name, bit in names.items() if value & bit == bit]
    rest = value
    for name in found:
        rest &= ~names[name]
    return ",".join([*found, hex(rest)] if rest else found)


def _plain(*numbers: int) -> str:
    return " ".join(map(str, numbers))


def _octal(mode: int) -> str:
    return f"0{mode:o}"


def _target(kind: int, mode: int) -> str:
    where = " on procfs" if kind & _ON_PROC else ""
    return f"{_PLACES.get(kind & ~_ON_PROC, str(kind))}{where} {_octal(mode)}"


def _setattr(set_: int, clear: int, propagation: int, recursive: int) -> str:
    parts = [
        f"+{_bits(set_, _ATTRIBUTES)}" if set_ else "",
        f"-{_bits(clear, _ATTRIBUTES)}" if clear else "",
        _bits(propagation, _PROPAGATION),
        "recursive" if recursive else "",
    ]
    return " ".join(part for part in parts if part)


def _mknod(mode: int, device: int, uid: int, gid: int) -> str:
    kind = _TYPES.get(mode & 0o170000, "?")
    owner = f" {uid}:{gid}" if uid or gid else ""
    return f"{kind} {device >> 32}:{device & 0xFFFFFFFF} {_octal(mode & 0o7777)}{owner}"


def _rlimit(resource: int, soft: int, hard: int) -> str:
    def shown(value: int) -> str:
        return "unlimited" if value & _UNLIMITED == _UNLIMITED else str(value)

    return f"{_LIMITS.get(resource, str(resource)).lower()} {shown(soft)} {shown(hard)}"


def _capabilities(*sets: int) -> str:
    return " ".join(
        f"{name}={_names(value)}"
        for name, value in zip(
            ("effective", "permitted", "inheritable", "ambient"), sets, strict=True
        )
    )


def _names(bits: int) -> str:
    names = [n.removeprefix("CAP_").lower() for n in capabilities.names(bits)]
    return ",".join(names) or "none"


_NUMBERS: dict[str, Callable[..., str]] = {
    "bounding": _names,
    "capabilities": _capabilities,
    "expect_fs": hex,
    "fsmount": lambda attributes: _bits(attributes, _ATTRIBUTES),
    "identity": lambda uid, gid: f"{uid}:{gid}",
    "mkdir": _octal,
    "mknod": _mknod,
    "open": lambda flags: _bits(flags, _OPEN),
    "open_in": lambda flags, resolve: f"{_bits(flags, _OPEN)} {_bits(resolve, _RESOLVE)}",
    "open_tree": lambda flags: _bits(flags, _TREE),
    "rlimit": _rlimit,
    "seccomp": lambda flags: "" if not flags else f"flags {hex(flags)}",
    "setattr": _setattr,
    "setns": lambda kinds: _bits(kinds, CLONE_FLAGS),
    "target": _target,
    "umask": _octal,
    "unshare": lambda kinds: _bits(kinds, CLONE_FLAGS),
}
