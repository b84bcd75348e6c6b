"""How to reach registries: one immutable value, read from the ``registry`` table of the settings.

insecure = ["registry.lan:5000", "10.0.0.0/8"]
certificates = ["/etc/casemate/certs.d"]
attempts = 5
[mirrors]
"docker.io" = ["https://mirror.lan"]
"*" = ["https://cache.lan/all"]
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from casemate.errors import InvalidArgument, PermissionDenied
from casemate.registry import urls
from casemate.registry.hosts import HostSet, Network, is_loopback
from casemate.registry.proxy import DIRECT, Proxies
from casemate.registry.urls import Origin, Url

#: As Docker's: ``<directory>/<host[:port]>/`` with ``*.crt``, and ``*.cert`` beside ``*.key``.
CERTIFICATES = ("/etc/casemate/certs.d", "/etc/docker/certs.d")
#: The key in ``mirrors`` for every host that has no entry of its own.
ANY = "*"
_MAX_MIRRORS = 16


class RetryPolicy(NamedTuple):
    """How often and how long a failing operation is tried; the delays double up to ``cap_s``."""

    attempts: int = 5
    base_s: float = 0.5
    cap_s: float = 10.0
    total_s: float = 120.0


class Timeouts(NamedTuple):
    """Limits in seconds; ``stall_s`` is the time that 64 KiB of a blob may take."""

    connect_s: float = 15.0
    answer_s: float = 60.0
    stall_s: float = 60.0
    #: A registry may copy a large blob before it answers the request that completes it.
    commit_s: float = 600.0


class RegistryConfig(NamedTuple):
    """The settings of a registry client."""

    mirrors: Mapping[str, tuple[Url, ...]] = MappingProxyType({})
    insecure: HostSet = HostSet()
    certificates: tuple[str, ...] = CERTIFICATES
    proxies: Proxies = DIRECT
    retry: RetryPolicy = RetryPolicy()
    timeouts: Timeouts = Timeouts()

    def may_be_plain(self, host: str, port: int | None) -> bool:
        """Return whether ``host`` may speak without TLS, or with a certificate nobody signed."""
        return is_loopback(host) or self.insecure.contains(host, port)

    def check_step(self, source: Origin, target: Origin, what: str) -> None:
        """Raise PermissionDenied unless an answer of ``source`` may send us to ``target``.

        It may not take TLS away, and not reach into this machine from outside.
        """
        if target.scheme == "http" and (
            source.scheme == "https" or not self.may_be_plain(target.host, target.port)
        ):
            raise PermissionDenied(f"{what}: {source} led to {target}, which is without TLS")
        if is_loopback(target.host) and not is_loopback(source.host):
            raise PermissionDenied(f"{what}: {source} led to this machine's own {target}")


def parse(table: Mapping[str, object], *, proxies: Proxies = DIRECT) -> RegistryConfig:
    """Read the settings in ``table``. Raises InvalidArgument that names the key and the rule."""
    unknown = set(table) - {"mirrors", "insecure", "certificates", "attempts"}
    if unknown:
        raise InvalidArgument(f"registry: unknown setting {sorted(unknown)[0]!r}")
    config = RegistryConfig(
        insecure=_insecure(_strings(table.get("insecure", []), "insecure")),
        certificates=_directories(table.get("certificates", list(CERTIFICATES))),
        proxies=proxies,
        retry=RetryPolicy(attempts=_attempts(table.get("attempts", 5))),
    )
    mirrors = table.get("mirrors", {})
    if not isinstance(mirrors, Mapping):
        raise InvalidArgument("registry.mirrors: must be a table of host to list of URLs")
    found = {_mirrored(host): _mirrors(config, host, value) for host, value in mirrors.items()}
    return config._replace(mirrors=MappingProxyType(found))


def _strings(value: object, key: str) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
        raise InvalidArgument(f"registry.{key}: must be a list of strings")
    return list(value)


def _insecure(entries: list[str]) -> HostSet:
    names = frozenset(_host(entry) for entry in entries if "/" not in entry)
    return HostSet(names, tuple(_network(entry) for entry in entries if "/" in entry))


def _network(entry: str) -> Network:
    try:
        return ipaddress.ip_network(entry)
    except ValueError as error:
        raise InvalidArgument(f"registry.insecure: invalid network {entry!r}: {error}") from error


def _host(entry: str) -> str:
    host, port = urls.split_host(entry, "registry.insecure")
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


def _directories(value: object) -> tuple[str, ...]:
    directories = _strings(value, "certificates")
    for path in directories:
        if not path.startswith("/") or "\0" in path:
            raise InvalidArgument(f"registry.certificates: {path!r} is not an absolute path")
    return tuple(directories)


def _attempts(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 20:
        raise InvalidArgument("registry.attempts: must be a number from 1 to 20")
    return value


def _mirrored(host: object) -> str:
    if not isinstance(host, str):
        raise InvalidArgument("registry.mirrors: a host must be a string")
    if host != ANY:
        urls.split_host(host, f"registry.mirrors: {host[:160]!r}")
    return host.lower()


def _mirrors(config: RegistryConfig, host: str, value: object) -> tuple[Url, ...]:
    what = f"registry.mirrors: {host[:160]!r}"
    texts = _strings(value, f"mirrors: {host[:160]!r}")
    if len(texts) > _MAX_MIRRORS:
        raise InvalidArgument(f"{what}: more than {_MAX_MIRRORS} mirrors")
    found = tuple(urls.parse(text, what) for text in texts)
    for url in found:
        if "?" in url.target:
            raise InvalidArgument(f"{what}: a mirror's URL cannot have a query")
        if url.origin.scheme == "http" and not config.may_be_plain(
            url.origin.host, url.origin.port
        ):
            raise InvalidArgument(
                f"{what}: {url.origin} would be reached without TLS",
                hint=f'add "{url.origin.netloc}" to registry.insecure if that is wanted',
            )
    return found
