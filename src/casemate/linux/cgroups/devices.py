"""Put device rules in force: lines for the version 1 controller, a BPF program for version 2."""

from __future__ import annotations

import os
from typing import NamedTuple

from casemate.errors import InvalidArgument
from casemate.linux.cgroups import bpf
from casemate.linux.cgroups.device_program import assemble
from casemate.linux.cgroups.devicerules import DeviceState, evaluate, lines
from casemate.linux.cgroups.place import Place
from casemate.linux.cgroups.setting import Setting, refused
from casemate.linux.cgroups.values import DeviceRule

_EVERYTHING = "a *:* rwm"


def apply(place: Place, rules: tuple[DeviceRule, ...]) -> None:
    """Put ``rules`` in force in the cgroup; they replace what was there.

    Raises InvalidArgument as ``evaluate`` and when the kernel keeps something else,
    PermissionDenied when the cgroup above allows less or BPF is not permitted.
    """
    if place.version == 1:
        _apply_v1(place, rules)
    else:
        _apply_v2(place, evaluate(rules))


class InForce(NamedTuple):
    """What may be used: as it is asked, and as the kernel tells it."""

    asked: str
    told: str
    holds: bool


def in_force(place: Place, rules: tuple[DeviceRule, ...]) -> InForce:
    """Return ``rules`` beside what the kernel tells; of a program only that it is there.

    Raises OSError.
    """
    allow, exceptions = evaluate(rules)
    asked = ", ".join(sorted(_expected(rules))) or "none"
    if place.version == 1:
        shown = _shown(place)
        return InForce(asked, ", ".join(sorted(shown)) or "none", shown == _expected(rules))
    directory = place.open(".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        there = bool(bpf.attached(directory, bpf.CGROUP_DEVICE))
    finally:
        os.close(directory)
    holds = there or (allow and not exceptions)
    return InForce(asked, "a program" if there else _EVERYTHING, holds)


def _expected(rules: tuple[DeviceRule, ...]) -> set[str]:
    """Return what a version 1 list shows; an allowing one shows nothing of what it excepts."""
    return {_EVERYTHING} if evaluate(rules).allow else set(lines(rules))


def _apply_v1(place: Place, rules: tuple[DeviceRule, ...]) -> None:
    allow, exceptions = evaluate(rules).allow, lines(rules)
    shown = _expected(rules)
    if (not allow or not exceptions) and _shown(place) == shown:
        return
    default, exception = "devices.deny", "devices.allow"
    if allow:
        default, exception = exception, default
    _write(place, default, ("a",))
    _write(place, exception, exceptions)
    if _shown(place) != shown:
        raise InvalidArgument(
            f"cannot set the device rules of cgroup {place.path}: the kernel keeps others"
        )


def _shown(place: Place) -> set[str]:
    return set(place.read("devices.list").splitlines())


def _write(place: Place, file: str, text: tuple[str, ...]) -> None:
    fd = place.open(file, os.O_WRONLY)
    try:
        for line in text:
            try:
                os.write(fd, line.encode())
            except OSError as error:
                raise refused(place, Setting(file, line, bool), error) from error
    finally:
        os.close(fd)


def _apply_v2(place: Place, state: DeviceState) -> None:
    directory = place.open(".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        present = bpf.attached(directory, bpf.CGROUP_DEVICE)
        if not state.exceptions and state.allow and not present:
            return
        program = bpf.load_device_program(assemble(state))
        try:
            bpf.attach(directory, bpf.CGROUP_DEVICE, program, replace=present[:1])
        finally:
            os.close(program)
    except OSError as error:
        setting = Setting("the device program", f"{len(state.exceptions)} exceptions", bool)
        raise refused(place, setting, error) from error
    finally:
        os.close(directory)
