"""Steps for a container in a user namespace, whose root is nobody in particular on the host.

What takes the host's root is done by the supervisor and passed on: the root file system, over
layers shown as the namespace maps their owners, device nodes, and copies of what is bound. On
disk nothing is shifted. The room itself begins with a user that has no id in its namespace, and
becomes its root.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import O_DIRECTORY, O_PATH

from casemate.errors import InvalidArgument, Unsupported
from casemate.linux.mount import AT_EMPTY_PATH, OPEN_TREE_CLONE
from casemate.oci.runtime import Device, IdMapping, Mount, RuntimeSpec
from casemate.runtime.mountoptions import parse
from casemate.runtime.namespaces import devices
from casemate.runtime.namespaces.mounts import adjusted, cloned, filesystem
from casemate.runtime.namespaces.root import features
from casemate.runtime.steps import PASSED, Step, step
from casemate.snapshot.mounts import RootMount

_NO_LINKS = 0x02 | 0x04 | 0x08  # linux/openat2.h: NO_MAGICLINKS, NO_SYMLINKS, BENEATH
_SUPERVISORS_UMASK = 0o022
#: A plan has a bounded number of registers, and each layer needs one (steps.REGISTERS).
_MAX_LAYERS = 100


def mapped(spec: RuntimeSpec) -> Iterator[Step]:
    """Say which ids of the host the room's are; the supervisor does, before the room goes on."""
    uids, gids = _text(spec.linux.uid_mappings), _text(spec.linux.gid_mappings)
    yield step("id_maps", uids, gids)


def _text(mappings: tuple[IdMapping, ...]) -> str:
    return "".join(f"{m.container_id} {m.host_id} {m.size}\n" for m in mappings)


def owned(place: str) -> Iterator[Step]:
    """Become root in the room, whose path to ``place`` is open by then: root may not go it."""
    yield step("open", "place", place, O_PATH | O_DIRECTORY)
    yield step("own_root")


def made(
    spec: RuntimeSpec, root: RootMount, binds: Mapping[Mount, str]
) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """Return what the supervisor does before the start, and the registers that the room gets.

    ``binds`` names the register of each bind. Raises InvalidArgument for too many.
    """
    if len(binds) + 2 > PASSED:
        raise InvalidArgument(f"more than {PASSED - 2} binds in a user namespace")
    first = spec.linux.uid_mappings[0].host_id
    steps = (
        step("umask", 0),
        step("namespace", "userns", "user"),
        step("file_owner", first),
        *_root(root),
        step("file_owner", 0),
        *_dev(spec, first),
        *(item for mount, register in binds.items() for item in _bind(mount, register)),
        step("umask", _SUPERVISORS_UMASK),
    )
    return steps, ("root", "dev", *binds.values())


def _root(root: RootMount) -> Iterator[Step]:
    """Make the overlay of layers that are mapped, each by its descriptor (Linux 6.15).

    A copy of a mount that is nowhere lasts as long as its descriptor: so they stay.
    """
    if len(root.lower) > _MAX_LAYERS:
        raise Unsupported(f"more than {_MAX_LAYERS} layers in a user namespace")
    copies = [f"layer:{number}" for number in range(len(root.lower))]
    yield step("fsopen", "overlay", "overlay")
    for path, copy in zip(root.lower, copies, strict=True):
        yield from _copied(path, copy)
        yield step("fsconfig_fd", "overlay", "lowerdir+", copy)
    if root.upper is not None and root.work is not None:
        place = _parent(root.upper, root.work)
        copies.append("layer:upper")
        yield from _copied(place, copies[-1])
        for key, path in (("upperdir", root.upper), ("workdir", root.work)):
            name = path.removeprefix(f"{place}/")
            yield step("open_in", "directory", copies[-1], name, O_PATH | O_DIRECTORY, _NO_LINKS)
            yield step("fsconfig_fd", "overlay", key, "directory")
            yield step("close", "directory")
    yield from features(root)
    yield step("fsmount", "root", "overlay", 0)
    yield step("close", "overlay")
    yield from (step("close", copy) for copy in copies)


def _parent(upper: str, work: str) -> str:
    place = upper.rpartition("/")[0]
    if work.rpartition("/")[0] != place:
        raise InvalidArgument(f"{upper} and {work} are not in one directory")
    return place


def _copied(path: str, register: str) -> Iterator[Step]:
    yield step("open", "source", path, O_PATH)
    yield step("open_tree", register, "source", "", OPEN_TREE_CLONE | AT_EMPTY_PATH)
    yield step("close", "source")
    yield step("idmapped", register, "userns", 0)


def _dev(spec: RuntimeSpec, first: int) -> Iterator[Step]:
    """Make /dev with its nodes, which root in the room could not make: they are the host's."""
    mount = next(m for m in spec.mounts if m.destination == "/dev" and m.type == "tmpfs")
    options = parse(mount.options, mount.destination)
    owner = (f"uid={first}", f"gid={first}")
    yield from filesystem("dev", "tmpfs", options._replace(data=(*options.data, *owner)))
    yield from devices.added(tuple(_shifted(d, first) for d in spec.linux.devices))


def _shifted(device: Device, first: int) -> Device:
    size = first & -first  # a range begins at a multiple of its size
    uid, gid = (first + (n if n < size else 0) for n in (device.uid, device.gid))
    return Device(device.path, device.type, device.major, device.minor, device.file_mode, uid, gid)


def _bind(mount: Mount, register: str) -> Iterator[Step]:
    options = parse(mount.options, mount.destination)
    yield from cloned(mount, register)
    if options.idmap:
        yield step("idmapped", register, "userns", int(options.idmap_recursive))
    yield from adjusted(options, register)
