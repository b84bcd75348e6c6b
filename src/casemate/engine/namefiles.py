"""The files by which a container knows names: hosts, hostname and resolv.conf."""

from __future__ import annotations

from collections.abc import Sequence

from casemate.engine import sharing
from casemate.engine.model import Config, HostConfig
from casemate.engine.records import Record
from casemate.errors import InvalidArgument
from casemate.network import files, resolving
from casemate.network.model import Endpoint
from casemate.network.request import DEFAULT

_RESOLVED = "/run/systemd/resolve/resolv.conf"
_MAX_RESOLVER = 64 << 10


def contents(record: Record, endpoints: Sequence[Endpoint], hostname: str) -> dict[str, str]:
    """Return the contents of hosts, hostname and resolv.conf for a container with ``endpoints``."""
    config, host = record.fixed.config, record.fixed.host
    addresses = [a.ip for endpoint in endpoints for a in endpoint.addresses]
    shares_host = sharing.network(host, config) == sharing.HOST
    return {
        "hosts": files.hosts(
            hostname,
            addresses,
            domain=config.domainname,
            extra=[files.parse_extra_host(text) for text in host.extra_hosts or ()],
            gateways=next((e.gateways for e in endpoints if e.gateways), ()),
            ipv6=shares_host or any(a.version == 6 for a in addresses),
        ),
        "hostname": files.hostname(hostname),
        "resolv.conf": files.resolv_conf(
            _by_names(host) if has_names(record) else _resolver(host, shares_host=shares_host)
        ),
    }


def has_names(record: Record) -> bool:
    """Tell whether the container is on a network where others find it by its name."""
    return any(one.network != DEFAULT for one in record.fixed.attachments)


def upstream(record: Record) -> tuple[str, ...]:
    """Return who is asked for names that no container has; the asker is on the host's network."""
    chosen = tuple(record.fixed.host.dns or ())
    return chosen or files.parse_resolver(_read("/etc/resolv.conf")).nameservers


def _by_names(host: HostConfig) -> files.Resolver:
    """Return the settings of a container that asks the name server of its networks."""
    found = _resolver(host, shares_host=False)
    options = found.options
    if not any(option.startswith("ndots:") for option in options):
        options = (*options, "ndots:0")
    return found._replace(nameservers=(resolving.ADDRESS,), options=options)


def check(config: Config, host: HostConfig) -> None:
    """Refuse at the creation what cannot be written into the files. Raises InvalidArgument."""
    for text in host.extra_hosts or ():
        try:
            files.parse_extra_host(text)
        except InvalidArgument as error:
            raise InvalidArgument(f"invalid extra host {text[:160]!r}: {error}") from error
    _asked(files.parse_resolver(""), host)
    if config.hostname:
        files.parse_hostname(config.hostname)
    files.own_names(config.hostname or "host", config.domainname)


def _resolver(host: HostConfig, *, shares_host: bool) -> files.Resolver:
    """Return the host's settings with what the container asks for, unless it shares the host's."""
    found = files.parse_resolver(_read("/etc/resolv.conf"))
    if shares_host:
        return found
    if files.behind_systemd(found) and (behind := _read(_RESOLVED)):
        found = files.parse_resolver(behind)
    return _asked(found, host)


def _asked(resolver: files.Resolver, host: HostConfig) -> files.Resolver:
    return files.resolver(
        resolver,
        nameservers=host.dns or (),
        search=host.dns_search or (),
        options=host.dns_options or (),
    )


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_MAX_RESOLVER)
    except FileNotFoundError:
        return ""
