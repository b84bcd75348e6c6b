"""``--security-opt`` and what it moves. An option that would do nothing here is refused by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from casemate.errors import InvalidArgument, Unsupported

#: Walls that this engine does not build, told to stay away: that is how it is.
_ABSENT = frozenset({"apparmor=unconfined", "label=disable"})


class SecurityOptions(NamedTuple):
    """What was asked, None where nothing was. ``seccomp`` is a word or a profile's JSON text,
    ``system`` the name of what the container runs as its first process.
    """

    no_new_privileges: bool | None = None
    seccomp: str | None = None
    read_only: bool | None = None
    landlock: bool | None = None
    system: str | None = None


def parse(options: Iterable[str] | None) -> SecurityOptions:
    """Take ``options`` apart. Raises InvalidArgument or Unsupported for what is not known."""
    out = SecurityOptions()
    for option in options or ():
        # Both separators are in use: name=value and the older name:value.
        name, separator, value = option.partition("=")
        if not separator:
            name, separator, value = option.partition(":")
        if name == "no-new-privileges":
            out = out._replace(no_new_privileges=_boolean(value or "true", option))
        elif name == "read-only":
            out = out._replace(read_only=_boolean(value, option))
        elif name == "landlock":
            out = out._replace(landlock=_landlock(value, option))
        elif name == "seccomp":
            out = out._replace(seccomp=value)
        elif name == "system":
            out = out._replace(system=value)
        elif f"{name}={value}" not in _ABSENT:
            raise Unsupported(f"--security-opt {option[:80]!r} is not supported yet")
    return out


def _landlock(value: str, option: str) -> bool:
    if value not in ("default", "unconfined"):
        raise InvalidArgument(
            f"invalid --security-opt {option[:80]!r}: expected default or unconfined"
        )
    return value == "default"


def _boolean(value: str, option: str) -> bool:
    if value.lower() in ("true", "1"):
        return True
    if value.lower() in ("false", "0"):
        return False
    raise InvalidArgument(f"invalid --security-opt {option[:80]!r}: expected true or false")
