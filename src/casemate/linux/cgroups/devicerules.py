"""What a list of device rules amounts to: a default and exceptions from it.

Version 1 keeps exactly this in the kernel; for version 2 it becomes a BPF program.
Source: linux Documentation/admin-guide/cgroup-v1/devices.rst, security/device_cgroup.c.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from casemate.errors import InvalidArgument
from casemate.linux.cgroups.values import DeviceRule

#: Kind and numbers of devices; None is every number.
Key = tuple[str, int | None, int | None]
_ACCESS = "rwm"


class DeviceState(NamedTuple):
    """``allow`` is the default; ``exceptions`` turn it round for some accesses of some devices."""

    allow: bool
    exceptions: Mapping[Key, frozenset[str]]


@functools.lru_cache(maxsize=64)
def evaluate(rules: tuple[DeviceRule, ...]) -> DeviceState:
    """Return the state that ``rules`` lead to, one after another from allowing everything.

    Raises InvalidArgument for a rule that is none, or that would take a single device out of a
    wider exception, which the kernel cannot express.
    """
    allow = True
    exceptions: dict[Key, frozenset[str]] = {}
    for rule in rules:
        _check(rule)
        if rule.kind == "a":
            allow, exceptions = rule.allow, {}
            continue
        key: Key = rule.kind, rule.major, rule.minor
        access = frozenset(rule.access)
        if rule.allow != allow:
            exceptions[key] = exceptions.get(key, frozenset()) | access
            continue
        for other, present in exceptions.items():
            if other != key and present & access and _overlap(other, key):
                raise InvalidArgument(
                    f"cannot {_verb(rule)} {text(key, access)} after {text(other, present)}:"
                    " a part of an earlier rule cannot be taken back"
                )
        if key in exceptions:
            exceptions[key] -= access
            if not exceptions[key]:
                del exceptions[key]
    return DeviceState(allow, exceptions)


def text(key: Key, access: Iterable[str]) -> str:
    """Return devices and accesses as the kernel writes them: ``c 136:* rwm``."""
    kind, major, minor = key
    letters = "".join(letter for letter in _ACCESS if letter in access)
    return f"{kind} {_star(major)}:{_star(minor)} {letters}"


@functools.lru_cache(maxsize=64)
def lines(rules: tuple[DeviceRule, ...]) -> tuple[str, ...]:
    """Return the exceptions that ``rules`` lead to, as lines of a version 1 devices file."""
    return tuple(text(key, access) for key, access in evaluate(rules).exceptions.items())


def _check(rule: DeviceRule) -> None:
    if rule.kind not in ("a", "b", "c"):
        raise InvalidArgument(f"invalid device rule: kind {rule.kind[:20]!r} is not a, b or c")
    if not rule.access or not frozenset(rule.access) <= frozenset(_ACCESS):
        raise InvalidArgument(f"invalid device rule: access {rule.access[:20]!r} is not of r, w, m")
    for number in (rule.major, rule.minor):
        if number is not None and not 0 <= number < 1 << 32:
            raise InvalidArgument(f"invalid device rule: {number} is not a device number")
    if rule.kind == "a" and (
        (rule.major, rule.minor) != (None, None) or len(frozenset(rule.access)) < len(_ACCESS)
    ):
        raise InvalidArgument("invalid device rule: kind a takes all numbers and accesses")


def _overlap(one: Key, other: Key) -> bool:
    return one[0] == other[0] and all(
        a is None or b is None or a == b for a, b in zip(one[1:], other[1:], strict=True)
    )


def _verb(rule: DeviceRule) -> str:
    return "allow" if rule.allow else "deny"


def _star(number: int | None) -> str:
    return "*" if number is None else str(number)
