"""Memory as a file system: ``--tmpfs`` and ``--mount type=tmpfs``. Source: man 5 tmpfs."""

from __future__ import annotations

import re

from casemate.engine.model import MountSpec, TmpfsOptions
from casemate.engine.records import MountPoint
from casemate.errors import InvalidArgument

_FLAGS = frozenset(
    "ro rw suid nosuid dev nodev exec noexec atime noatime diratime nodiratime relatime norelatime"
    " strictatime nostrictatime async defaults".split()
)
_AMOUNT = r"[0-9]{1,19}[kKmMgG]?"
_VALUES = {
    "size": re.compile(rf"{_AMOUNT}|[0-9]{{1,3}}%", re.ASCII),
    "mode": re.compile(r"[0-7]{1,4}|0[0-7]{4}", re.ASCII),
    "uid": re.compile(r"[0-9]{1,9}", re.ASCII),
    "gid": re.compile(r"[0-9]{1,9}", re.ASCII),
    "nr_inodes": re.compile(_AMOUNT, re.ASCII),
    "nr_blocks": re.compile(_AMOUNT, re.ASCII),
}
#: What nobody asked for: as little as data needs.
_USUAL = ("nosuid", "nodev", "noexec")


def of_text(destination: str, text: str) -> MountPoint:
    """Return the mount that ``--tmpfs destination:text`` asks for. Raises InvalidArgument."""
    _check(destination)
    chosen = [*_USUAL, "mode=1777"]
    for option in filter(None, text.split(",")):
        chosen = _with(chosen, option, destination)
    return MountPoint(type="tmpfs", destination=destination, options=tuple(chosen))


def of_spec(spec: MountSpec, destination: str) -> MountPoint:
    """Return the mount that ``spec`` asks for. Raises InvalidArgument."""
    _check(destination)
    if spec.source:
        raise InvalidArgument(
            'invalid mount config for type "tmpfs": field Source must not be specified:'
            f" {destination}"
        )
    options = spec.tmpfs_options or TmpfsOptions()
    if not 0 <= options.mode <= 0o7777 or options.size_bytes < 0:
        raise InvalidArgument(f"invalid tmpfs options: mode or size out of range: {destination}")
    chosen = [*_USUAL, f"mode={options.mode or 0o1777:o}"]
    if options.size_bytes:
        chosen.append(f"size={options.size_bytes}")
    if spec.read_only:
        chosen.append("ro")
    for words in options.options or ():
        chosen = _with(chosen, "=".join(words), destination)
    return MountPoint(
        type="tmpfs",
        destination=destination,
        writable=not spec.read_only,
        options=tuple(chosen),
    )


def _check(destination: str) -> None:
    if destination == "/dev":
        raise InvalidArgument("cannot mount a tmpfs over /dev: it is already one, with devices")


def _with(chosen: list[str], option: str, destination: str) -> list[str]:
    """Return ``chosen`` with ``option``, which replaces what says something else."""
    name, separator, value = option.partition("=")
    known = name in _VALUES and _VALUES[name].fullmatch(value)
    if known or (option in _FLAGS and not separator):
        opposite = name.removeprefix("no") if name.startswith("no") else f"no{name}"
        kept = [o for o in chosen if o.partition("=")[0] not in (name, opposite)]
        return [*kept, option]
    raise InvalidArgument(f"invalid tmpfs option {option[:40]!r}: {destination}")
