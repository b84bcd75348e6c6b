"""Names of images as the command line takes them: split, completed, shortened.

The engine judges them; here is only what has to be known before it is asked. Source:
distribution/reference, README and normalize rules.
"""

from __future__ import annotations

from casemate.errors import InvalidArgument

_DOMAIN = "docker.io"
_OFFICIAL = "library/"


class Reference:
    """A name in its parts: ``domain`` and ``path`` are whole, ``tag`` and ``digest`` may be ""."""

    __slots__ = ("digest", "domain", "path", "tag")

    def __init__(self, domain: str, path: str, tag: str, digest: str) -> None:
        self.domain = domain
        self.path = path
        self.tag = tag
        self.digest = digest

    @property
    def name(self) -> str:
        """The whole name without tag and digest: ``docker.io/library/alpine``."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The name as people write it: ``alpine``."""
        if self.domain != _DOMAIN:
            return self.name
        return self.path.removeprefix(_OFFICIAL)

    @property
    def version(self) -> str:
        """What the API takes as the tag: the digest, else the tag, "" without either."""
        return self.digest or self.tag

    @property
    def familiar(self) -> str:
        """The whole reference as people write it."""
        return self.familiar_name + self._suffix

    def __str__(self) -> str:
        return self.name + self._suffix

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference:
    """Split a reference. Raises InvalidArgument for what cannot be one."""
    rest, at, digest = text.partition("@")
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        name, tag = rest, ""
    if not name or (at and not digest) or (rest.endswith(":")) or any(map(_is_odd, text)):
        raise InvalidArgument(f"invalid reference format: {text!r}")
    first, slash, path = name.partition("/")
    own_host = "." in first or ":" in first or first == "localhost" or first.lower() != first
    if not slash or not own_host:
        domain, path = _DOMAIN, name if slash else _OFFICIAL + name
    else:
        domain = _DOMAIN if first == f"index.{_DOMAIN}" else first
        if domain == _DOMAIN and "/" not in path:
            path = _OFFICIAL + path
    if path != path.lower():
        raise InvalidArgument(
            f"invalid reference format: repository name ({path}) must be lowercase"
        )
    return Reference(domain, path, tag, digest)


def tagged(text: str) -> Reference:
    """Split a reference; one without tag and digest gets the tag ``latest``."""
    found = parse(text)
    if not found.version:
        found.tag = "latest"
    return found


def _is_odd(character: str) -> bool:
    return not character.isascii() or not (character.isalnum() or character in "-._/:@+")
