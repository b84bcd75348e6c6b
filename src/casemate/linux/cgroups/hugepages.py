"""How many huge pages of each size a cgroup may use.

What is reserved counts as well as what is touched: who asks for too much is told when it maps, not
killed when it writes.

Source: linux Documentation/admin-guide/cgroup-v1/hugetlb.rst, cgroup-v2.rst hugetlb.
"""

from __future__ import annotations

import os
import re

from casemate.errors import InvalidArgument, Unsupported
from casemate.linux.cgroups.place import Place
from casemate.linux.cgroups.setting import Setting, parse_size
from casemate.linux.cgroups.values import Limits

_DIRECTORY = re.compile(r"hugepages-([0-9]+)kB")
_UNITS = ("KB", "MB", "GB")
_SUFFIXES = {1: ("rsvd.limit_in_bytes", "limit_in_bytes"), 2: ("rsvd.max", "max")}


def sizes(sys: str = "/sys") -> dict[str, int]:
    """Return the sizes in bytes of the huge pages of this machine, by what the kernel calls them.

    Source: linux mm/hugetlb_cgroup.c, mem_fmt; runtime-spec v1.2 config-linux.md, pageSize.
    """
    try:
        names = os.listdir(f"{sys}/kernel/mm/hugepages")
    except FileNotFoundError:
        return {}
    found = sorted(int(match[1]) for match in map(_DIRECTORY.fullmatch, names) if match)
    return {_name(size_kib): size_kib << 10 for size_kib in found}


def _name(size_kib: int) -> str:
    step = 0
    while size_kib >= 1024 and step < len(_UNITS) - 1:
        size_kib >>= 10
        step += 1
    return f"{size_kib}{_UNITS[step]}"


def settings(place: Place, limits: Limits) -> list[Setting]:
    """Return what to write for the huge pages of ``limits``.

    Raises InvalidArgument for a size or a number that cannot be, Unsupported without the files.
    """
    known = sizes()
    chosen = []
    for name, size_bytes in limits.hugepages:
        if name not in known:
            raise InvalidArgument(
                f"invalid size of huge pages {name[:40]!r}: this machine has"
                f" {', '.join(known) or 'none'}"
            )
        if not -1 <= size_bytes < 1 << 62:
            raise InvalidArgument(f"invalid limit of {name} huge pages: {size_bytes} bytes")
        files = [f for f in _files(place, name) if place.has(f)]
        if not files:
            raise Unsupported(f"cannot limit huge pages of {name}: the kernel counts none")
        chosen += [_setting(place, file, size_bytes, known[name]) for file in files]
    return chosen


def _files(place: Place, name: str) -> list[str]:
    return [f"hugetlb.{name}.{suffix}" for suffix in _SUFFIXES[place.version]]


def _setting(place: Place, file: str, size_bytes: int, page_bytes: int) -> Setting:
    if size_bytes < 0:
        text = "max" if place.version == 2 else "-1"
        return Setting(file, text, lambda held: parse_size(held) < 0)
    kept = size_bytes // page_bytes * page_bytes  # the kernel keeps whole ones
    return Setting(file, str(size_bytes), lambda held: parse_size(held) == kept)


def limits(place: Place) -> Limits:
    """Return the limits in force, of the sizes that have one. Raises OSError."""
    found = []
    for name in sizes():
        file = _files(place, name)[-1]
        if place.has(file) and (limit := parse_size(place.read(file))) >= 0:
            found.append((name, limit))
    return Limits(hugepages=tuple(found))
