"""Image references: ``[domain/]path[:tag][@digest]``, with Docker's short forms made whole.

Source: distribution/reference grammar; distribution-spec v1.1, section Pulling manifests.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from casemate.errors import InvalidArgument
from casemate.oci import digest as digests
from casemate.oci.digest import Digest

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
_MAX_NAME = 255

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_HEX64 = re.compile(r"[a-f0-9]{64}")


class Reference(NamedTuple):
    """A whole reference. ``tag`` or ``digest`` may be empty, never both after ``parse``."""

    domain: str
    path: str
    tag: str
    digest: Digest | None

    @property
    def repository(self) -> str:
        """``domain/path``, the name without tag and digest."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The short name that people type: ``debian`` for ``docker.io/library/debian``."""
        if self.domain != DEFAULT_DOMAIN:
            return self.repository
        return self.path.removeprefix("library/") if self.path.count("/") == 1 else self.path

    @property
    def familiar(self) -> str:
        """The short form with tag or digest."""
        return self.familiar_name + self._suffix()

    def __str__(self) -> str:
        return self.repository + self._suffix()

    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{tag}@{self.digest}" if self.digest else tag


def parse(text: str, *, default_tag: str = DEFAULT_TAG) -> Reference:
    """Return the whole reference that ``text`` abbreviates.

    Without tag and digest the tag becomes ``default_tag`` (which may be empty). Raises
    InvalidArgument with the reason.
    """
    if _HEX64.fullmatch(text):
        raise _invalid(text, "a name cannot be 64 hex digits, it would look like an id")
    rest, at, digest_text = text.partition("@")
    digest = digests.parse(digest_text) if at else None
    name, tag = rest, ""
    last = rest.rpartition("/")[2]
    if ":" in last:
        name, _, tag = rest.rpartition(":")
        if not _TAG.fullmatch(tag):
            raise _invalid(text, "invalid tag")
    domain, path = _split(name)
    if not _DOMAIN.fullmatch(domain):
        raise _invalid(text, "invalid registry host")
    if not path or not all(_COMPONENT.fullmatch(c) for c in path.split("/")):
        if path != path.lower() and path:
            raise _invalid(text, "repository name must be lowercase")
        raise _invalid(text, "invalid reference format")
    if len(domain) + 1 + len(path) > _MAX_NAME:
        raise _invalid(text, f"the name is longer than {_MAX_NAME} characters")
    if not tag and not digest:
        tag = default_tag
    return Reference(domain, path, tag, digest)


def _split(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    is_host = "." in first or ":" in first or first == "localhost" or first != first.lower()
    if not slash or not is_host:
        domain, path = DEFAULT_DOMAIN, name
    else:
        domain, path = first, rest
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = f"library/{path}"
    return domain, path


def _invalid(text: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"invalid reference {text[:300]!r}: {why}")
