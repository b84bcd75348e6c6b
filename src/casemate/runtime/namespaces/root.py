"""Steps for the root file system: mounted before everything, entered after everything else."""

from __future__ import annotations

from collections.abc import Iterator
from os import O_DIRECTORY, O_PATH

from casemate.linux.mount import MOUNT_ATTR_RDONLY, MS_SLAVE
from casemate.runtime.steps import Step, step
from casemate.snapshot.mounts import FEATURES, RootMount


def mounted(root: RootMount, place: str, *, new_api: bool) -> Iterator[Step]:
    """Mount ``root`` at the host's empty directory ``place``, visible in the room only.

    ``new_api`` tells that overlayfs takes one layer an option (Linux 6.7); older kernels get the
    old call, whose options are bounded by a page.
    """
    yield step("open", "host", "/", O_PATH | O_DIRECTORY)
    # Nothing mounted here shows outside; what the host mounts later below a bind may still arrive.
    yield step("setattr", "host", 0, 0, MS_SLAVE, 1)
    yield step("close", "host")
    if new_api:
        yield step("fsopen", "overlay", "overlay")
        yield from (step("fsconfig", "overlay", "lowerdir+", path) for path in root.lower)
        yield from (step("fsconfig", "overlay", *pair) for pair in _writable(root))
        yield from features(root)
        yield step("fsmount", "root", "overlay", 0)
        yield step("close", "overlay")
        yield step("mount_at", "root", place)
    else:
        yield step("mount", "overlay", place, "overlay", 0, root.options())
        yield step("open", "root", place, O_PATH | O_DIRECTORY)


def _writable(root: RootMount) -> Iterator[tuple[str, str]]:
    if root.upper is not None and root.work is not None:
        # Of these two overlayfs takes a backslash for the escape that it is in the old call.
        yield "upperdir", root.upper.replace("\\", "\\\\")
        yield "workdir", root.work.replace("\\", "\\\\")


def features(root: RootMount) -> Iterator[Step]:
    """Say how the overlay is to behave."""
    for option in ("volatile", *FEATURES) if root.volatile else FEATURES:
        key, _, value = option.partition("=")
        yield step("fsconfig", "overlay", key, value)


def entered(*, readonly: bool) -> Iterator[Step]:
    """Make the mounted root the room's root, for good."""
    if readonly:
        yield step("setattr", "root", MOUNT_ATTR_RDONLY, 0, 0, 0)
    yield step("pivot", "root")
    yield step("close", "root")
