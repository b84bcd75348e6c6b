"""Names in a layer: pure data, never looked up in a file system.

``b""`` is the root of the layer. Whiteouts as in image-spec v1.1 layer.md.
"""

from __future__ import annotations

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
#: Names that AUFS kept for itself; they carry nothing but targets of hard links.
RESERVED = b".wh..wh."

#: NAME_MAX of linux/limits.h.
NAME_MAX = 255


class BadName(ValueError):
    """A name breaks a rule; the text says which."""


def normal(name: bytes, path_bytes: int) -> bytes:
    """Return ``name`` without ``.`` parts and extra slashes; ``b""`` for the root.

    Raises BadName for an absolute name, for ``..``, and for a name longer than ``path_bytes`` or
    with a part longer than NAME_MAX.
    """
    path = name[2:] if name.startswith(b"./") else name
    path = path.rstrip(b"/")
    if path.startswith((b"/", b".")) or b"/." in path or b"//" in path or not path:
        path = _plain(name)
    if len(path) > NAME_MAX:
        if len(path) > path_bytes:
            raise BadName(f"is longer than {path_bytes} bytes")
        if max(map(len, path.split(b"/"))) > NAME_MAX:
            raise BadName(f"has a part longer than {NAME_MAX} bytes")
    return path


def _plain(name: bytes) -> bytes:
    if name.startswith(b"/"):
        raise BadName("is absolute")
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise BadName('goes up with ".."')
    return b"/".join(parts)


def hidden(base: bytes) -> bytes:
    """Return the name that the whiteout ``base`` hides. Raises BadName for ``.``, ``..`` or none.

    ``base`` begins with WHITEOUT and is not reserved.
    """
    name = base[len(WHITEOUT) :]
    if name in (b"", b".", b".."):
        raise BadName("is a whiteout of no name")
    return name


def shown(name: bytes) -> str:
    """Return ``name`` for a message: quoted, printable, and not longer than a line."""
    text = name.decode("utf-8", "backslashreplace")
    quoted = ascii(text) if not text.isprintable() else f'"{text}"'
    return quoted if len(quoted) <= 160 else f'{quoted[:120]}…" ({len(name)} bytes)'
