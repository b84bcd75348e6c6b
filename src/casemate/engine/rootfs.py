"""A look into a container's root without running anything in it."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
from collections.abc import Iterator

from casemate.errors import InvalidArgument
from casemate.linux import inroot, mount
from casemate.oci.digest import Digest
from casemate.snapshot.mounts import RootMount
from casemate.spec.identity import Identity, resolve

#: User databases are read up to this size; larger ones are refused (CVE-2026-47262).
_MAX_DATABASE = 1 << 20
_NAMES = ("etc/passwd", "etc/group")

Databases = tuple[bytes, bytes]


@contextlib.contextmanager
def seen(root: RootMount, place: str, *, new_api: bool) -> Iterator[int]:
    """Give a descriptor of ``root`` as it is now, read-only, mounted where nobody sees it.

    The writable layer is looked at as one more lower one, so that a container may start meanwhile.
    ``place`` is an empty directory for kernels without ``new_api`` (Linux 6.7). Raises OSError.
    """
    layers = (root.upper, *root.lower) if root.upper else root.lower
    if new_api:
        settings = RootMount(layers).settings()
        descriptor = mount.detached("overlay", settings, mount.MOUNT_ATTR_RDONLY)
    else:
        descriptor = _briefly_mounted(layers, place)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _briefly_mounted(layers: tuple[str, ...], place: str) -> int:
    mount.mount("overlay", place, "overlay", mount.MS_RDONLY, RootMount(layers).options())
    try:
        return inroot.open_root(place)
    finally:
        mount.unmount(place, mount.MNT_DETACH)


class Users:
    """Finds out who a container runs as; what images say is remembered."""

    def __init__(self, place: str, *, new_api: bool) -> None:
        self._place = place
        self._new_api = new_api
        self._remembered = functools.lru_cache(256)(self._of_image)

    def identify(
        self, root: RootMount, layers: tuple[Digest, ...], text: str, groups: tuple[str, ...]
    ) -> Identity:
        """Return the identity that ``text`` names in ``root``. Raises InvalidArgument."""
        if root.upper and os.path.lexists(f"{root.upper}/etc"):
            databases = self._read(root)
        else:
            # Nothing was written over the image's own files: they are what they were before.
            databases = self._remembered(layers, root.lower)
        return resolve(text, *databases, groups)

    def identify_at(self, root: int, text: str, groups: tuple[str, ...]) -> Identity:
        """Return the identity that ``text`` names below the open directory ``root``."""
        return resolve(text, *read_databases(root), groups)

    def _of_image(self, layers: tuple[Digest, ...], lower: tuple[str, ...]) -> Databases:
        return self._read(RootMount(lower if len(lower) > 1 else (*lower, self._place)))

    def _read(self, root: RootMount) -> Databases:
        with seen(root, self._place, new_api=self._new_api) as descriptor:
            return read_databases(descriptor)


def read_databases(root: int) -> Databases:
    """Return passwd and group of the root; empty when there are none. Raises InvalidArgument."""
    passwd, group = (_read(root, name) for name in _NAMES)
    return passwd, group


def _read(root: int, name: str) -> bytes:
    try:
        return inroot.read_file(root, name, _MAX_DATABASE)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return b""
        raise InvalidArgument(f"cannot read /{name} of the container: {error.strerror}") from error
