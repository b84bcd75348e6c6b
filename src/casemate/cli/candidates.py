"""Names that a shell can complete: fixed words, and the engine's objects when it runs."""

from __future__ import annotations

from casemate.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.arguments import Arguments
    from casemate.cli.engine import Engine

    Candidate = tuple[str, str]

_SIGNALS = "HUP INT QUIT KILL USR1 USR2 TERM CONT STOP TSTP WINCH"
_CAPABILITIES = (
    "ALL AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN"
    " DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE"
    " MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON"
    " SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE"
    " SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM"
)
#: kind → (request, states to keep)
_CONTAINERS = {
    "containers": ("/containers/json?all=1", ()),
    "running": ("/containers/json", ()),
    "paused": ("/containers/json", ("paused",)),
    "stopped": ("/containers/json?all=1", ("created", "exited")),
}


def names_of(suggest: str, options: Arguments) -> tuple[list[Candidate], bool]:
    """Return the candidates that ``suggest`` names, and whether files are candidates too.

    It is a kind of object, ``files``, ``signals``, ``capabilities``, or the words themselves.
    """
    if suggest in ("", "files"):
        return [], suggest == "files"
    if suggest == "signals":
        return [(name, "") for name in _SIGNALS.split()], False
    if suggest == "capabilities":
        return [(name, "") for name in _CAPABILITIES.split()], False
    if suggest == "registries":
        return _registries(options), False
    if suggest in _CONTAINERS or suggest in ("groups", "images", "networks", "volumes", "objects"):
        return _objects(suggest, options), suggest == "volumes"
    return [(word, "") for word in suggest.split()], False


def _registries(options: Arguments) -> list[Candidate]:
    from casemate.cli.session import Session

    try:
        return [(name, "") for name in Session("", options).config.table("auths")]
    except Error:
        return []


def _objects(kind: str, options: Arguments) -> list[Candidate]:
    kinds = ("containers", "images", "networks", "volumes") if kind == "objects" else (kind,)
    found: list[Candidate] = []
    for each in kinds:
        try:
            found += _ask(each, options)
        except (Error, OSError, KeyError, TypeError):
            return found
    return found


def _ask(kind: str, options: Arguments) -> list[Candidate]:
    from casemate.cli.engine import Engine
    from casemate.cli.session import Session
    from casemate.client.place import Location

    # Without a place: an engine is not started only because somebody pressed a key.
    place = Location(Session("", options).location.address, None)
    engine = Engine(place, "/casemate") if kind == "groups" else Engine(place)
    try:
        return _listed(engine, kind)
    finally:
        engine.finish()


def _listed(engine: Engine, kind: str) -> list[Candidate]:
    if kind in _CONTAINERS:
        path, states = _CONTAINERS[kind]
        return [
            (name.removeprefix("/"), f"{item.get('Image')}, {item.get('Status')}")
            for item in engine.get(path)
            if not states or item.get("State") in states
            for name in item.get("Names") or []
        ]
    if kind == "images":
        return [(tag, "") for image in engine.get("/images/json") for tag in _tags(image)]
    if kind == "groups":
        return [(item["Name"], item["Cgroup"]) for item in engine.get("/groups")]
    if kind == "networks":
        return [(item["Name"], item.get("Driver", "")) for item in engine.get("/networks")]
    return [(item["Name"], "") for item in engine.get("/volumes").get("Volumes") or []]


def _tags(image: dict[str, Any]) -> list[str]:
    return [tag for tag in image.get("RepoTags") or [] if not tag.startswith("<none>")]
