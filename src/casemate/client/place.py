"""Where the engine is: its address, and the directories of one that we may start ourselves."""

from __future__ import annotations

import os

from casemate.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_SOCKET = "casemate.sock"


class Place:
    """The engine's directories: ``root`` is kept, ``run`` is gone after a reboot."""

    __slots__ = ("root", "run")

    def __init__(self, root: str, run: str) -> None:
        self.root = root
        self.run = run

    @property
    def address(self) -> str:
        """The address of the engine's socket."""
        return f"unix://{self.run}/{_SOCKET}"


class Location:
    """An engine's ``address``; with a ``place`` it is started there when nobody listens."""

    __slots__ = ("address", "place")

    def __init__(self, address: str, place: Place | None) -> None:
        self.address = address
        self.place = place


def locate(host: str, run: str, root: str, environ: Mapping[str, str]) -> Location:
    """Return the engine that the options ``--host``, ``--run`` and ``--root`` mean, "" if absent.

    An option wins over the environment; without either it is the user's own engine. Raises
    InvalidArgument.
    """
    if host and run:
        raise InvalidArgument("conflicting options: cannot specify both --host and --run")
    run_wins = run and not host
    address = host or ("" if run_wins else environ.get("CASEMATE_HOST", ""))
    if address:
        return Location(_checked(address), None)
    run = os.path.abspath(run or environ.get("CASEMATE_RUN") or _default_run(environ))
    root = os.path.abspath(root or environ.get("CASEMATE_ROOT") or _default_root(environ))
    place = Place(root, run)
    return Location(place.address, place)


def _checked(address: str) -> str:
    kind, separator, rest = address.partition("://")
    if not separator:
        kind, rest = "tcp", address
    if kind not in ("unix", "tcp", "http") or not rest:
        raise InvalidArgument(
            f"invalid engine address {address!r}: it must be unix:///path or tcp://host:port"
        )
    return f"{kind}://{rest}"


def _default_run(environ: Mapping[str, str]) -> str:
    if os.geteuid() == 0:
        return "/run/casemate"
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    return f"{runtime}/casemate"


def _default_root(environ: Mapping[str, str]) -> str:
    if os.geteuid() == 0:
        return "/var/lib/casemate"
    data = environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return f"{data}/casemate"
