"""The environment of a container: the image's, then the user's, then what is missing."""

from __future__ import annotations

from casemate.errors import InvalidArgument

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def merged(image: tuple[str, ...], asked: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables of ``image`` overridden by ``asked``; a bare name in ``asked`` unsets.

    Raises InvalidArgument for a variable without a name or with a NUL.
    """
    values: dict[str, str | None] = {}
    for entry in (*image, *asked):
        name, separator, value = entry.partition("=")
        if not name:
            raise InvalidArgument(f"invalid environment variable {entry[:80]!r}: it has no name")
        if "\0" in entry:
            raise InvalidArgument(f"invalid environment variable {name[:80]!r}: it has a NUL")
        values[name] = value if separator else None
    return tuple(f"{name}={value}" for name, value in values.items() if value is not None)


def completed(env: tuple[str, ...], *, hostname: str, home: str, terminal: bool) -> tuple[str, ...]:
    """Return ``env`` with PATH, HOSTNAME, TERM and HOME where it does not say otherwise."""
    have = {entry.partition("=")[0] for entry in env}
    defaults = [("PATH", DEFAULT_PATH), ("HOSTNAME", hostname)]
    if terminal:
        defaults.append(("TERM", "xterm"))
    first = tuple(f"{name}={value}" for name, value in defaults if name not in have and value)
    last = () if "HOME" in have else (f"HOME={home}",)
    return (*first, *env, *last)
