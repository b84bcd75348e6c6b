"""The two ways to make layers directories, each behind the same fixture."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from casemate.layer.scratch import Trash
from casemate.layer.store import LayerStore
from casemate.linux import mount
from casemate.oci.digest import Digest
from casemate.snapshot import probe
from casemate.snapshot.contract import Lowers
from casemate.snapshot.directories import DirectoryLowers
from casemate.snapshot.erofs import ErofsLowers
from casemate.snapshot.mounts import RootMount
from casemate.snapshot.snapshots import Snapshotter
from contract.snapshot.trees import archive


class Room:
    """A store and a snapshotter below one directory, as an engine has them."""

    def __init__(self, place: Path, kind: str) -> None:
        self.place = place
        self.kind = kind
        self.store = LayerStore(str(place))
        (place / "trash").mkdir(exist_ok=True)
        self.trash = Trash(str(place / "trash"))
        self.lowers = self.new_lowers()
        self.snapshotter = Snapshotter(str(place), self.store, self.lowers)

    def new_lowers(self) -> Lowers:
        if self.kind == "erofs":
            return ErofsLowers(str(self.place / "run"))
        return DirectoryLowers(str(self.place))

    def remove(self, key: str) -> None:
        self.snapshotter.remove(key, self.trash)

    def add(self, *members: object) -> Digest:
        """Store a layer of these members and return its DiffID."""
        return self.add_archive(archive(members))

    def add_archive(self, data: bytes) -> Digest:
        return self.store.ingest([data], what="the test's layer").diff_id

    def mounts(self) -> list[mount.Mount]:
        """Return what is mounted below the directory."""
        return mounts_below(self.place)


def mounts_below(place: Path) -> list[mount.Mount]:
    return [entry for entry in mount.mounts() if entry.path.startswith(f"{place}/")]


def unmount_below(place: Path) -> None:
    for path in sorted((entry.path for entry in mounts_below(place)), reverse=True):
        mount.unmount(path, mount.MNT_DETACH)


@contextlib.contextmanager
def mounted(root: RootMount) -> Iterator[str]:
    """Mount a root file system where nobody else sees it; give a path to it."""
    options: list[tuple[str, str | None]] = [("lowerdir+", path) for path in root.lower]
    if root.upper and root.work:
        options += [("upperdir", root.upper), ("workdir", root.work)]
    options += [("redirect_dir", "off"), ("metacopy", "off"), ("index", "off")]
    descriptor = mount.detached("overlay", options)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


_WHY_NOT: dict[str, Callable[[str], str | None]] = {
    "erofs": probe.why_not_erofs,
    "directories": probe.why_not_directories,
}


@pytest.fixture(scope="session")
def possible(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """Return for each kind why this machine cannot do it, or None."""
    if os.geteuid() != 0:
        return dict.fromkeys(_WHY_NOT, "mounting needs root")
    place = str(tmp_path_factory.mktemp("probe"))
    return {kind: why_not(place) for kind, why_not in _WHY_NOT.items()}


@pytest.fixture(params=sorted(_WHY_NOT))
def kind(request: pytest.FixtureRequest, possible: dict[str, str | None]) -> str:
    if reason := possible[request.param]:
        pytest.skip(f"{request.param}: {reason}")
    return request.param


@pytest.fixture
def room(kind: str, tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path, kind)
    yield room
    unmount_below(tmp_path)
