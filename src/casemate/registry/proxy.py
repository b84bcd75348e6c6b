"""Which proxy a request goes through, by the usual environment variables.

Source: golang.org/x/net/http/httpproxy, whose rules Docker users know. Loopback is never proxied.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from casemate.errors import InvalidArgument, Unsupported
from casemate.registry import urls
from casemate.registry.hosts import is_loopback
from casemate.registry.urls import Origin


class Proxy(NamedTuple):
    """An HTTP proxy; ``authorization`` is the value of Proxy-Authorization or empty."""

    host: str
    port: int
    authorization: str = ""


class Proxies(NamedTuple):
    """The proxies for http and https, and the hosts that are reached without."""

    http: Proxy | None = None
    https: Proxy | None = None
    exempt: tuple[str, ...] = ()

    def serving(self, origin: Origin) -> Proxy | None:
        """Return the proxy for ``origin``, None for a direct connection."""
        proxy = self.https if origin.scheme == "https" else self.http
        if proxy is None or is_loopback(origin.host):
            return None
        return None if any(_exempts(entry, origin) for entry in self.exempt) else proxy


#: No proxy for anything.
DIRECT = Proxies()


def from_environment(environment: Mapping[str, str]) -> Proxies:
    """Read HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in upper or lower case.

    Raises InvalidArgument for a malformed proxy, Unsupported for one that is not plain HTTP.
    """

    def value(name: str) -> str:
        return environment.get(name) or environment.get(name.lower()) or ""

    exempt = tuple(e.strip().lower() for e in value("NO_PROXY").split(",") if e.strip())
    return Proxies(
        _parse("HTTP_PROXY", value("HTTP_PROXY")),
        _parse("HTTPS_PROXY", value("HTTPS_PROXY")),
        exempt,
    )


def _parse(name: str, text: str) -> Proxy | None:
    if not text:
        return None
    text = text if "://" in text else f"http://{text}"
    scheme, _, rest = text.partition("://")
    if scheme.lower() != "http":
        raise Unsupported(f"cannot use {name}: a proxy must be reached by http://, not {scheme}://")
    userinfo, _, place = rest.rpartition("@")
    origin = urls.parse(f"http://{place}", name).origin
    port = origin.port
    if not userinfo:
        return Proxy(origin.host, port)
    try:
        parts = urlsplit(f"http://{userinfo}@proxy")
        pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    except ValueError as error:
        raise InvalidArgument(f"{name}: invalid user name or password") from error
    return Proxy(origin.host, port, "Basic " + base64.b64encode(pair.encode()).decode())


def _exempts(entry: str, origin: Origin) -> bool:
    if entry == "*":
        return True
    host, colon, port = entry.rpartition(":")
    if colon and port.isdigit() and (":" not in host or host.endswith("]")):
        if int(port) != origin.port:
            return False
        entry = host
    entry = entry.strip("[]")
    try:
        return ipaddress.ip_address(origin.host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        name = entry.removeprefix("*").lstrip(".")
        return origin.host.endswith(f".{name}") or (
            origin.host == name and not entry.startswith((".", "*"))
        )
