"""What a request asks for: paths and queries, percent-encoded. Source: RFC 3986."""

from __future__ import annotations

from casemate.errors import InvalidArgument

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def path_of(*parts: str, **query: str | list[str]) -> str:
    """Return ``/part/part…?name=value…``; an empty value in the query is left out.

    A part may be an object's name: slashes around it are not meant, those inside stay, as in the
    names of images. Raises InvalidArgument for an empty name.
    """
    path = ""
    for part in parts:
        name = part.strip("/")
        if not name:
            raise InvalidArgument("invalid name or ID: value is empty")
        path += "/" + quoted(name, "/:@+")
    pairs = [
        f"{name}={quoted(value)}"
        for name, values in query.items()
        for value in ([values] if isinstance(values, str) else values)
        if value != ""
    ]
    return path + ("?" + "&".join(pairs) if pairs else "")


def quoted(text: str, also: str = "") -> str:
    """Return ``text`` percent-encoded, but for the characters in ``also``."""
    allowed = _UNRESERVED | set(also.encode())
    data = text.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in allowed else f"%{byte:02X}" for byte in data)
