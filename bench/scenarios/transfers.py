"""The Debian image in and out: pull until runnable, load, push.

Before every round the receiving side is empty, and everything written so far is on disk; what was
read before is still in the page cache, for all alike.
"""

from __future__ import annotations

import os

from bench import api
from bench.daemon import Daemon, check_empty
from bench.images import DEBIAN
from bench.interleave import Case, Effort, Turns, interleave
from bench.podman import Podman
from bench.registry import HOST, Registry
from bench.result import Result
from bench.roster import Roster

_TAG = "bench"
_REPOSITORY = f"{HOST}/{DEBIAN}"
_IMAGE = f"{_REPOSITORY}:{_TAG}"
#: What is pulled; a push goes to a storage of its own.
_SOURCE, _TARGET = "source", "target"


def pull(roster: Roster, effort: Effort) -> Result:
    """Pull into an empty store, then run ``true``."""
    registry = roster.registry
    _fill(roster, registry)
    daemons = _daemons(roster)
    cases = [_pull_case(daemon) for daemon in daemons]
    podman = roster.known("podman", lambda: roster.podman)
    if podman:
        cases.append(_podman_pull(podman))
    size = registry.stored_bytes(_SOURCE) / 1e6
    turns = _measured(cases, effort)
    registry.shut()
    for daemon in daemons:
        _empty(daemon)
    return Result("pull of Debian until runnable", turns, (f"{size:.0f} MB in the registry",))


def load(roster: Roster, effort: Effort) -> Result:
    """Load the archive that ``save`` wrote, into an empty store."""
    archive, daemons = _archive(roster), _daemons(roster)
    turns = _measured([_load_case(daemon, archive) for daemon in daemons], effort)
    for daemon in daemons:
        _empty(daemon)
    size = os.path.getsize(archive) / 1e6
    return Result("load of Debian's archive", turns, (f"the archive has {size:.0f} MB",))


def push(roster: Roster, effort: Effort) -> Result:
    """Push to an empty registry; every round compresses anew."""
    registry, archive = roster.registry, _archive(roster)
    sizes: dict[str, int] = {}
    daemons = _daemons(roster)
    for daemon in daemons:
        api.load(daemon.client, archive)
    cases = [_push_case(daemon, registry, sizes) for daemon in daemons]
    turns = _measured(cases, effort)
    for daemon in daemons:
        _empty(daemon)
    registry.shut()
    registry.forget(_TARGET)
    notes = [f"{name} stored {size / 1e6:.1f} MB" for name, size in sizes.items()]
    return Result("push of Debian to an empty registry", turns, tuple(notes))


def _measured(cases: list[Case], effort: Effort) -> Turns:
    return interleave(cases, effort.image_rounds, min(effort.warmups, 1), effort.pause_s)


def _daemons(roster: Roster) -> list[Daemon]:
    found = (
        roster.known("casemate", lambda: roster.ours),
        roster.known("dockerd", lambda: roster.dockerd),
    )
    return [daemon for daemon in found if daemon]


def _empty(daemon: Daemon) -> None:
    """Remove the image and make sure that nothing of it is left, nor on its way to disk."""
    if api.has_image(daemon.client, _IMAGE):
        api.remove_image(daemon.client, _IMAGE)
    check_empty(daemon)
    os.sync()


def _pull_case(daemon: Daemon) -> Case:
    def measure() -> dict[str, float]:
        watch = api.Stopwatch()
        api.pull(daemon.client, _REPOSITORY, _TAG)
        watch.lap("pull")
        return api.run_true(daemon.client, _IMAGE, "none", watch).parts

    return Case(daemon.name, measure, daemon.keeper.cpu_ms, lambda: _empty(daemon))


def _podman_pull(podman: Podman) -> Case:
    def prepare() -> None:
        podman.run("rmi", "--force", "--ignore", _IMAGE)
        os.sync()

    def measure() -> dict[str, float]:
        pulled = podman.run("pull", "--quiet", "--tls-verify=false", _IMAGE).wall_ms
        ran = podman.run_true(_IMAGE, "none").wall_ms
        return {"pull": pulled, "run": ran, "total": pulled + ran}

    return Case("podman", measure, podman.keeper.cpu_ms, prepare)


def _load_case(daemon: Daemon, archive: str) -> Case:
    def measure() -> dict[str, float]:
        watch = api.Stopwatch()
        api.load(daemon.client, archive)
        watch.lap("load")
        return watch.parts

    return Case(daemon.name, measure, daemon.keeper.cpu_ms, lambda: _empty(daemon))


def _push_case(daemon: Daemon, registry: Registry, sizes: dict[str, int]) -> Case:
    def prepare() -> None:
        registry.shut()
        registry.forget(_TARGET)
        registry.open(_TARGET)
        os.sync()

    def measure() -> dict[str, float]:
        watch = api.Stopwatch()
        api.push(daemon.client, _REPOSITORY, _TAG)
        watch.lap("push")
        sizes[daemon.name] = registry.stored_bytes(_TARGET)
        return watch.parts

    return Case(daemon.name, measure, daemon.keeper.cpu_ms, prepare)


def _archive(roster: Roster) -> str:
    """Return the image's archive; whoever is there first imports and saves it."""
    path = f"{roster.directory}/debian-image.tar"
    if os.path.exists(path):
        return path
    maker = _maker(roster)
    _import(maker, roster.debian)
    api.save(maker.client, _IMAGE, path)
    api.remove_image(maker.client, _IMAGE)
    return path


def _fill(roster: Roster, registry: Registry) -> None:
    """Put the image into the registry, compressed as dockerd does it where there is one."""
    registry.open(_SOURCE)
    if registry.stored_bytes(_SOURCE):
        return
    maker = _maker(roster)
    _import(maker, roster.debian)
    api.push(maker.client, _REPOSITORY, _TAG)
    api.remove_image(maker.client, _IMAGE)


def _maker(roster: Roster) -> Daemon:
    return roster.known("dockerd", lambda: roster.dockerd) or roster.ours


def _import(daemon: Daemon, root: str) -> None:
    api.import_root(daemon.client, root, DEBIAN, ['CMD ["bash"]'])
    api.tag(daemon.client, f"{DEBIAN}:latest", _REPOSITORY, _TAG)
    api.remove_image(daemon.client, f"{DEBIAN}:latest")
