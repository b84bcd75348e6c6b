"""What the entries of one layer add up to: a tree of nodes, the last entry of a name winning.

The tree is pure data, so nothing in an archive can lead outside of it. A link on the way to a name
is followed inside the tree, its root being the layer's root; directories that an archive uses
but does not hold get mode 0755, owner 0 and time 0. Both are what docker and containerd do inside
the directory that they unpack to. Whiteouts hide what other layers hold, wherever in the archive
they stand (image-spec v1.1 layer.md), and become what overlayfs understands: ``character`` nodes
0:0 and opaque directories.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from casemate.errors import InvalidArgument
from casemate.layer import names, xattrs
from casemate.layer.limits import DEFAULT, Limits
from casemate.layer.names import BadName, shown
from casemate.layer.sparse import Extent
from casemate.layer.tar import Entry, Kind

#: As many links as the kernel follows in one look-up (MAXSYMLINKS).
_HOPS = 40
#: Parts of link targets looked at for one whole archive: links cost time out of proportion to
#: their bytes, and no honest archive has many names behind links.
_FOLLOWED_MAX = 4_000_000

#: Ids and devices are 32 bits wide; the last id means "none" to the kernel.
_ID_MAX = 0xFFFF_FFFE
_MAJOR_MAX, _MINOR_MAX = 0xFFF, 0xF_FFFF
_SECONDS_MAX = (1 << 63) - 1


class Node:
    """An inode: what one or, by hard links, several names stand for.

    ``children`` is of directories only, and so are ``hides`` (names that whiteouts hid) and
    ``opaque`` (whether all of the layers below is hidden). ``path_bytes`` is the length of a
    directory's path.
    """

    __slots__ = (
        "children",
        "extents",
        "gid",
        "hides",
        "kind",
        "links",
        "major",
        "minor",
        "mode",
        "mtime_ns",
        "number",
        "offset",
        "opaque",
        "path_bytes",
        "size",
        "target",
        "uid",
        "xattrs",
    )

    def __init__(self, kind: Kind, mode: int, uid: int, gid: int, mtime_ns: int) -> None:
        self.kind = kind
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime_ns = mtime_ns
        self.size = 0
        self.offset = 0
        self.target = b""
        self.major = 0
        self.minor = 0
        self.xattrs: dict[bytes, bytes] | None = None
        self.extents: tuple[Extent, ...] | None = None
        self.children: dict[bytes, Node] | None = None
        self.hides: set[bytes] | None = None
        self.opaque = False
        self.path_bytes = 0
        self.links = 0
        self.number = 0


def _directory(path_bytes: int) -> Node:
    node = Node("directory", 0o755, 0, 0, 0)
    node.children = {}
    node.path_bytes = path_bytes
    return node


def _whiteout() -> Node:
    return Node("character", 0, 0, 0, 0)


class Tree:
    """The tree of a layer, built entry by entry; ``finish`` once when the archive has ended.

    ``root_named`` tells whether the archive has an entry for the root. ``what`` names the archive
    in errors; all of them are InvalidArgument.
    """

    def __init__(self, what: str, limits: Limits = DEFAULT) -> None:
        self.root = _directory(0)
        self.root_named = False
        self._what = what
        self._limits = limits
        self._known: dict[bytes, Node] = {b"": self.root}
        self._followed = 0

    def add(self, entry: Entry) -> None:
        """Add one entry, replacing what had its name."""
        try:
            path = names.normal(entry.name, self._limits.path_bytes)
            parent_path, _, base = path.rpartition(b"/")
            parent = self._known.get(parent_path) or self._resolve(parent_path)
            if base.startswith(names.WHITEOUT) and self._hide(parent, base):
                return
            if not base:
                self._set_root(entry)
            elif entry.kind == "link":
                self._put(parent, base, self._linked(entry))
            else:
                self._put_entry(parent, base, path, entry)
        except BadName as error:
            self._refuse(entry, str(error))

    def _refuse(self, entry: Entry, rule: str) -> NoReturn:
        raise InvalidArgument(f"{self._what}: entry {shown(entry.name)} {rule}")

    def _set_root(self, entry: Entry) -> None:
        if entry.kind != "directory":
            raise BadName(f"makes the root a {entry.kind}")
        _describe(self.root, entry)
        self.root_named = True

    def _put_entry(self, parent: Node, base: bytes, path: bytes, entry: Entry) -> None:
        children = _children(parent)
        if entry.kind == "directory":
            node = children.get(base)
            if node is None or node.kind != "directory":
                node = _directory(self._length(parent, base))
                self._put(parent, base, node)
            self._known[path] = node
            _describe(node, entry)
            return
        self._put(parent, base, node_of(entry))

    def _put(self, parent: Node, base: bytes, node: Node) -> None:
        """Give ``node`` the name ``base``; what had it goes, a directory with all it holds."""
        children = _children(parent)
        before = children.get(base)
        if before is not None and before.kind in ("directory", "symlink"):
            self._known = {b"": self.root}
        children[base] = node

    def _length(self, parent: Node, base: bytes) -> int:
        length = parent.path_bytes + 1 + len(base)
        if length > self._limits.path_bytes:
            raise BadName(f"lies deeper than {self._limits.path_bytes} bytes of path")
        return length

    def _linked(self, entry: Entry) -> Node:
        """Return the node that a hard link stands for: one that came before it in this archive."""
        where = f"is a hard link to {shown(entry.target)}"
        try:
            path = names.normal(entry.target, self._limits.path_bytes)
        except BadName as error:
            raise BadName(f"{where}, which {error}") from None
        parent_path, _, base = path.rpartition(b"/")
        parent = self._known.get(parent_path) or self._walk(parent_path, make=False)
        node = _children(parent).get(base) if parent is not None else None
        if node is None:
            raise BadName(f"{where}, which this layer does not hold before it")
        if node.kind == "directory":
            raise BadName(f"{where}, which is a directory")
        return node

    def _hide(self, parent: Node, base: bytes) -> bool:
        """Take note of a whiteout; return False for names that are kept for hard links only."""
        if base == names.OPAQUE:
            parent.opaque = True
        elif base.startswith(names.RESERVED):
            return False
        else:
            parent.hides = parent.hides or set()
            parent.hides.add(names.hidden(base))
        return True

    # Looking up a directory.

    def _resolve(self, path: bytes) -> Node:
        node = self._walk(path, make=True)
        assert node is not None
        self._known[path] = node
        return node

    def _walk(self, path: bytes, *, make: bool) -> Node | None:
        """Return the directory ``path``; missing ones are made, or None comes back."""
        trail = [self.root]
        ahead = path.split(b"/")[::-1]
        hops = 0
        while ahead:
            part = ahead.pop()
            if part == b"..":
                if len(trail) > 1:
                    trail.pop()
                continue
            if part in (b"", b"."):
                continue
            node = _children(trail[-1]).get(part)
            if node is None:
                if not make:
                    return None
                node = self._make(trail[-1], part)
            if node.kind == "symlink":
                hops += 1
                if hops > _HOPS:
                    raise BadName(f"lies behind more than {_HOPS} symbolic links")
                if node.target.startswith(b"/"):
                    del trail[1:]
                ahead += self._follow(node)
            elif node.kind == "directory":
                trail.append(node)
            else:
                raise BadName(f"lies below {shown(part)}, which is a {node.kind}")
        return trail[-1]

    def _follow(self, link: Node) -> list[bytes]:
        """Return the parts of a link's target, last first; all links together have a budget."""
        parts = link.target.split(b"/")[::-1]
        self._followed += len(parts)
        if self._followed > _FOLLOWED_MAX:
            raise BadName("makes the archive follow too many symbolic links")
        return parts

    def _make(self, parent: Node, part: bytes) -> Node:
        if part.startswith(names.WHITEOUT) and not part.startswith(names.RESERVED):
            raise BadName(f"lies below the whiteout {shown(part)}")
        if len(part) > names.NAME_MAX:
            raise BadName(f"has a part longer than {names.NAME_MAX} bytes")
        node = _directory(self._length(parent, part))
        _children(parent)[part] = node
        return node

    # The end of the archive.

    def finish(self) -> list[Node]:
        """Apply the whiteouts, count the links, and return all nodes, parents before children.

        Each node comes once, directories in the order of their names.
        """
        found = [self.root]
        self.root.links = 2
        for node in found:
            if node.children is None:
                continue
            _settle(node)
            for _, child in sorted(node.children.items()):
                if child.children is not None:
                    node.links += 1
                    child.links = 2
                    found.append(child)
                else:
                    child.links += 1
                    if child.links == 1:
                        found.append(child)
        return found


def node_of(entry: Entry) -> Node:
    """Return what ``entry``, which is no hard link, describes by itself. Raises BadName."""
    node = Node(entry.kind, entry.mode, entry.uid, entry.gid, entry.mtime_ns)
    _describe(node, entry)
    if entry.kind != "directory":
        _FILLED[entry.kind](node, entry)
    return node


def _children(directory: Node) -> dict[bytes, Node]:
    assert directory.children is not None
    return directory.children


def _settle(directory: Node) -> None:
    """Turn the whiteouts of a directory into nodes and opaque directories."""
    children = _children(directory)
    for name in directory.hides or ():
        child = children.get(name)
        if child is None:
            children[name] = _whiteout()
        elif child.kind == "directory":
            child.opaque = True
    for name in [name for name in children if name.startswith(names.RESERVED)]:
        del children[name]


def _describe(node: Node, entry: Entry) -> None:
    """Set what every node has from ``entry``."""
    if not (0 <= entry.uid <= _ID_MAX and 0 <= entry.gid <= _ID_MAX):
        raise BadName(f"has the owner {entry.uid}:{entry.gid}, not two ids below 2^32 - 1")
    if abs(entry.mtime_ns) // 1_000_000_000 > _SECONDS_MAX:
        raise BadName("has a time that does not fit 64 bits")
    node.mode, node.uid, node.gid = entry.mode, entry.uid, entry.gid
    node.mtime_ns = entry.mtime_ns
    node.xattrs = xattrs.checked(entry.xattrs, entry.kind) if entry.xattrs else None


def _fill_file(node: Node, entry: Entry) -> None:
    node.size, node.offset, node.extents = entry.size, entry.offset, entry.extents


def _fill_symlink(node: Node, entry: Entry) -> None:
    if not entry.target:
        raise BadName("is a symbolic link to nothing")
    if len(entry.target) > 4095:
        raise BadName("is a symbolic link to a name longer than 4095 bytes")
    node.target, node.size = entry.target, len(entry.target)


def _fill_device(node: Node, entry: Entry) -> None:
    if not (0 <= entry.major <= _MAJOR_MAX and 0 <= entry.minor <= _MINOR_MAX):
        raise BadName(f"is the device {entry.major}:{entry.minor}, which cannot exist")
    if entry.kind == "character" and entry.major == entry.minor == 0:
        raise BadName("is the device 0:0, which is overlayfs's own mark of a whiteout")
    node.major, node.minor = entry.major, entry.minor


def _fill_fifo(node: Node, entry: Entry) -> None:
    """A fifo has nothing of its own."""


_FILLED: dict[Kind, Callable[[Node, Entry], None]] = {
    "file": _fill_file,
    "symlink": _fill_symlink,
    "character": _fill_device,
    "block": _fill_device,
    "fifo": _fill_fifo,
}
