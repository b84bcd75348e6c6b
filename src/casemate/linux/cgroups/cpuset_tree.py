"""Give a cgroup that has cgroups below other processors or memory nodes.

In version 1 no cpuset may have more than the one above it has, at any moment: so all grow from the
top, and then shrink from the bottom. In version 2 the kernel sees to it.

Source: linux Documentation/admin-guide/cgroup-v1/cpusets.rst; cgroup-v2.rst, cpuset.cpus.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import NamedTuple

from casemate.linux.cgroups import setting
from casemate.linux.cgroups.cpuset import check, common, inside, parse_list
from casemate.linux.cgroups.place import Place
from casemate.linux.cgroups.processes import gone
from casemate.linux.cgroups.setting import Setting

#: A cgroup that is made meanwhile has what the one above had at that moment.
_ATTEMPTS = 5


class _Change(NamedTuple):
    """One cgroup, and the lists that it has and is to have."""

    place: Place
    old: str
    new: str


def share(place: Place, file: str, text: str, own: Mapping[str, str]) -> None:
    """Give ``place`` the list ``text`` of ``file``, "" for all that its parent has.

    What is below has all of it, or its part of ``own`` (lists by path), or of what it has had in
    common with it. Raises InvalidArgument, Conflict, OSError.
    """
    if text:
        check(place, file, text)
    if place.version == 2:
        # An empty write would be none: a newline is an empty list.
        setting.apply(place, [Setting(file, text or "\n", lambda held: _same(held, text))])
        return
    wanted = text or place.parent().read(file).strip()
    for attempt in range(1, _ATTEMPTS + 1):
        changes = _changes(place, file, wanted, own)
        if all(_same(change.old, change.new) for change in changes):
            return
        try:
            _put(changes, file)
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.EACCES) or attempt == _ATTEMPTS:
                raise setting.refused(place, Setting(file, wanted, bool), error) from error
    setting.apply(place, [Setting(file, wanted, lambda held: _same(held, wanted))])


def _changes(top: Place, file: str, wanted: str, own: Mapping[str, str]) -> list[_Change]:
    """Return what is to change, parents first; those below without any list stay so."""
    found = [_Change(top, top.read(file).strip(), wanted)]
    for above in found:
        for name in _children(above.place):
            place = above.place.child(name)
            try:
                old = place.read(file).strip()
            except OSError as error:
                if not gone(error):
                    raise
                continue
            if old:
                found.append(_Change(place, old, own.get(place.path) or _part(above, old)))
    return found


def _children(place: Place) -> list[str]:
    try:
        return place.children()
    except FileNotFoundError:
        return []


def _part(above: _Change, old: str) -> str:
    if _same(old, above.old):
        return above.new
    return common(parse_list(old), parse_list(above.new)) or above.new


def _put(changes: list[_Change], file: str) -> None:
    for place, old, new in changes:
        if not inside(parse_list(new), parse_list(old)):
            _write(place, file, f"{old},{new}")
    for place, _, new in reversed(changes):
        _write(place, file, new)


def _write(place: Place, file: str, text: str) -> None:
    try:
        place.write(file, text)
    except OSError as error:
        if not gone(error):
            raise


def _same(one: str, other: str) -> bool:
    return parse_list(one) == parse_list(other)
