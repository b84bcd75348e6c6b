"""Each wall beside what the kernel says of it.

A process may make walls of its own stronger: give up capabilities, filter its calls, let itself be
killed first. A wall holds when it is at least as strong as it was set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from casemate.engine import walllimits
from casemate.engine.wall import NOT_HERE, Wall
from casemate.engine.wallsettings import DEFAULT, Settings
from casemate.engine.wallsight import IdMap, Seen, is_hidden, is_readonly
from casemate.linux import capabilities
from casemate.linux.cgroups.values import Limits
from casemate.linux.mount import Mount
from casemate.oci.runtime import IdMapping
from casemate.runtime.namespaces.clone import PROC_NAMES

_MODES = {"0": "none", "1": "strict mode", "2": "filter"}


class Ground(NamedTuple):
    """What a container's namespaces are held against: the engine's own, and those of its peers."""

    own: Mapping[str, str]
    peers: Mapping[str, str]
    ids: tuple[IdMap, IdMap]


def rows(wanted: Settings, seen: Seen, limits: Limits, ground: Ground) -> Iterator[Wall]:
    """Yield all walls."""
    yield from _namespaces(wanted, seen, ground)
    yield _ids(wanted, seen, ground)
    yield from _privileges(wanted, seen)
    yield from _paths(wanted, seen)
    yield from walllimits.rows(wanted, limits)
    yield walllimits.resource_limits(wanted, seen.rlimits)
    yield _oom(wanted, seen)
    yield Wall("security module", "none", DEFAULT, seen.label or NOT_HERE, None)
    yield _landlock(wanted)


def _namespaces(wanted: Settings, seen: Seen, ground: Ground) -> Iterator[Wall]:
    host = wanted.host
    network = host.network_mode not in ("", "default") or wanted.disabled
    options = {
        "uts": ("--uts", bool(host.uts_mode)),
        "ipc": ("--ipc", bool(host.ipc_mode)),
        "pid": ("--pid", bool(host.pid_mode)),
        "network": ("--network", network),
        "cgroup": ("--cgroupns", bool(host.cgroupns_mode)),
        "user": ("--userns", bool(host.userns_mode)),
    }
    for kind in PROC_NAMES:
        option, given = options.get(kind, ("", False))
        setting, kernel, holds = _namespace(kind, wanted, seen, ground)
        origin = wanted.origin(option, given=given)
        yield Wall(f"{kind} namespace", setting, origin, kernel, holds)


def _namespace(
    kind: str, wanted: Settings, seen: Seen, ground: Ground
) -> tuple[str, str, bool | None]:
    """Return setting, kernel's word and whether they agree, of one kind of namespace."""
    there, ours = seen.namespaces.get(kind, ""), ground.own.get(kind)
    peer = wanted.sharing.peers.get(kind)
    whose = "host" if there == ours else "own"
    if not there:
        return "own" if kind in wanted.sharing.own else "host", NOT_HERE, None
    if peer is None:
        setting = "own" if kind in wanted.sharing.own else "host"
        return setting, f"{whose} {there}", setting == whose
    shared = ground.peers.get(kind)
    if shared is None:
        return f"container {peer}", f"{there}; container {peer} does not run", None
    agreed = there == shared
    return f"container {peer}", f"{'container' if agreed else whose} {there}", agreed


def _ids(wanted: Settings, seen: Seen, ground: Ground) -> Wall:
    linux = wanted.spec.linux
    own = "user" in wanted.sharing.own
    expected = (_as_map(linux.uid_mappings), _as_map(linux.gid_mappings)) if own else ground.ids
    found = (seen.uid_map, seen.gid_map)
    origin = wanted.origin("--userns", given=bool(wanted.host.userns_mode))
    kernel = _map_text(found[0])
    if found[0] != found[1]:
        kernel += f"; groups {_map_text(found[1])}"
    setting = _map_text(expected[0]) if own else "the host's"
    return Wall("user mapping", setting, origin, kernel, found == expected)


def _as_map(mappings: Iterable[IdMapping]) -> IdMap:
    return tuple((m.container_id, m.host_id, m.size) for m in mappings)


def _map_text(mapping: IdMap) -> str:
    parts = (f"{inside} is {outside}, {count} ids" for inside, outside, count in mapping)
    return "; ".join(parts) or "none"


def _privileges(wanted: Settings, seen: Seen) -> Iterator[Wall]:
    host, process, asked = wanted.host, wanted.spec.process, wanted.security
    words = " ".join(
        name for name, some in (("--cap-add", host.cap_add), ("--cap-drop", host.cap_drop)) if some
    )
    given = bool(words) and not host.privileged
    origin = wanted.privileged_or(words, "capabilities", given=given)
    for name, line, allowed in (
        ("effective capabilities", "CapEff", process.capabilities.effective),
        ("bounding capabilities", "CapBnd", process.capabilities.bounding),
    ):
        yield _capabilities(name, allowed, origin, int(seen.status[line], 16))
    mode = seen.status.get("Seccomp", "0")
    seccomp = wanted.spec.linux.seccomp
    yield Wall(
        "seccomp",
        _seccomp(wanted),
        wanted.privileged_or("--security-opt seccomp", "seccomp", given=asked.seccomp is not None),
        _MODES.get(mode, mode),
        seccomp is None or mode == "2",
    )
    given = asked.no_new_privileges is not None
    found = seen.status.get("NoNewPrivs") == "1"
    yield Wall(
        "no new privileges",
        _yes(process.no_new_privileges),
        wanted.privileged_or("--security-opt no-new-privileges", given=given),
        _yes(found),
        found or not process.no_new_privileges,
    )


def _capabilities(name: str, allowed: tuple[str, ...], origin: str, found: int) -> Wall:
    most = capabilities.mask(allowed)
    beyond = found & ~most
    kernel = f"{found:016x}"
    if beyond:
        kernel += f", beyond: {_names(capabilities.names(beyond)) or f'{beyond:x}'}"
    return Wall(name, _names(allowed) or "none", origin, kernel, not beyond)


def _names(names: Iterable[str]) -> str:
    return " ".join(name.removeprefix("CAP_") for name in names)


def _seccomp(wanted: Settings) -> str:
    if wanted.spec.linux.seccomp is None:
        return "none"
    asked = wanted.security.seccomp
    name = wanted.profile.seccomp if asked in (None, "builtin") else asked
    return name if name in ("default", "strict") else "the user's profile"


def _paths(wanted: Settings, seen: Seen) -> Iterator[Wall]:
    host, linux, readonly = wanted.host, wanted.spec.linux, wanted.spec.root.readonly
    given = host.readonly_rootfs or wanted.security.read_only is not None
    found = seen.root is not None and is_readonly(seen.root)
    yield Wall(
        "root",
        _access(readonly),
        wanted.system_or("--read-only", "readonly_root", given=given),
        _access(found),
        found or not readonly,
    )
    for name, paths, asked, closed in (
        ("masked paths", linux.masked_paths, host.masked_paths, is_hidden),
        ("read-only paths", linux.readonly_paths, host.readonly_paths, is_readonly),
    ):
        given = asked is not None and not host.privileged
        origin = wanted.privileged_or("--security-opt systempaths", given=given)
        yield _covered(name, paths, origin, seen.covers, closed)


def _covered(
    name: str,
    paths: tuple[str, ...],
    origin: str,
    covers: Mapping[str, Mount | None],
    closed: Callable[[Mount], bool],
) -> Wall:
    there = [(path, entry) for path in paths if (entry := covers.get(path))]
    unsafe = [path for path, entry in there if not closed(entry)]
    kernel = f"{len(there) - len(unsafe)} closed, {len(paths) - len(there)} not there"
    if unsafe:
        kernel += f", open: {' '.join(unsafe)}"
    return Wall(name, " ".join(paths) or "none", origin, kernel, not unsafe)


def _oom(wanted: Settings, seen: Seen) -> Wall:
    setting = wanted.spec.process.oom_score_adj or 0
    origin = "option --oom-score-adj" if setting else DEFAULT
    found = seen.oom_score_adj
    return Wall("OOM score adjustment", str(setting), origin, str(found), found >= setting)


def _landlock(wanted: Settings) -> Wall:
    given = wanted.security.landlock is not None
    origin = wanted.privileged_or("--security-opt landlock", given=given)
    if wanted.landlock and not wanted.landlock_here:
        return Wall("Landlock", "asked", origin, NOT_HERE, False)
    setting = "asked" if wanted.landlock else "not asked"
    return Wall("Landlock", setting, origin, "the kernel does not tell", None)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _access(readonly: bool) -> str:
    return "read-only" if readonly else "writable"
