"""URLs as values: parsed once, strictly, and never printed with what may be a secret.

Source: RFC 3986; only what an HTTP client needs.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlencode, urljoin, urlsplit

from casemate.errors import InvalidArgument

_MAX = 8192
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*)\.?")
PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Where a request goes. ``host`` is in lower case, an IPv6 address without brackets."""

    scheme: str
    host: str
    port: int

    @property
    def netloc(self) -> str:
        """``host[:port]``, the port only when it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"


class Url(NamedTuple):
    """An origin and a target: path with query. ``str`` shows no query: tokens live there."""

    origin: Origin
    target: str

    def __str__(self) -> str:
        path, mark, _ = self.target.partition("?")
        return f"{self.origin}{path}{'?…' if mark else ''}"

    def with_query(self, pairs: Iterable[tuple[str, str]]) -> Url:
        """Return this URL with ``pairs`` added to its query."""
        query = urlencode(list(pairs), safe=":/,")
        if not query:
            return self
        return Url(self.origin, f"{self.target}{'&' if '?' in self.target else '?'}{query}")


def parse(text: str, what: str) -> Url:
    """Parse an absolute http or https URL; ``what`` names it in the InvalidArgument raised."""
    if len(text) > _MAX or not _VISIBLE.fullmatch(text):
        raise InvalidArgument(f"{what}: not a URL of at most {_MAX} visible ASCII characters")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InvalidArgument(f"{what}: invalid URL: {error}") from error
    if parts.scheme not in PORTS:
        raise InvalidArgument(f"{what}: the URL must begin with https:// or http://")
    if "@" in parts.netloc:
        raise InvalidArgument(f"{what}: a URL with a user name is refused")
    host = parts.hostname or ""
    if parts.netloc.startswith("[") != (":" in host) or parts.netloc.endswith(":"):
        raise InvalidArgument(f"{what}: invalid host {parts.netloc[:80]!r}")
    origin = Origin(parts.scheme, parse_host(host, what), port or PORTS[parts.scheme])
    return Url(origin, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def parse_host(text: str, what: str) -> str:
    """Return a host name or address in lower case. Raises InvalidArgument."""
    if ":" in text:
        try:
            return str(ipaddress.IPv6Address(text))
        except ValueError:
            raise InvalidArgument(f"{what}: invalid IPv6 address {text[:80]!r}") from None
    if len(text) > 253 or not _HOST.fullmatch(text):
        raise InvalidArgument(f"{what}: invalid host {text[:80]!r}")
    return text.lower()


def join(base: Url, location: str, what: str) -> Url:
    """Return where ``location``, relative or absolute, leads from ``base``."""
    if len(location) > _MAX or not _VISIBLE.fullmatch(location):
        raise InvalidArgument(f"{what}: not a URL of at most {_MAX} visible ASCII characters")
    try:
        whole = urljoin(f"{base.origin}{base.target}", location)
    except ValueError as error:
        raise InvalidArgument(f"{what}: invalid URL: {error}") from error
    return parse(whole, what)


def split_host(text: str, what: str) -> tuple[str, int | None]:
    """Split ``host[:port]``, an IPv6 address in brackets. Raises InvalidArgument."""
    url = parse(f"https://{text}", what)
    if url.target != "/" or "?" in text or "#" in text:
        raise InvalidArgument(f"{what}: {text[:160]!r} is not HOST or HOST:PORT")
    explicit = text.rpartition(":")[2].isdigit() and not text.endswith("]")
    return url.origin.host, url.origin.port if explicit else None
