"""The text of a container's /etc/hosts, /etc/hostname and /etc/resolv.conf.

Pure functions. Every value that reaches a line is checked first, so that none can bring a line
of its own. Source: man 5 hosts, man 5 resolv.conf; which lines, and from where, is Docker's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from casemate.errors import InvalidArgument
from casemate.network.model import Address, parse_address

HOST_GATEWAY = "host-gateway"

_LABEL = r"[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?"
_HOSTNAME = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")
_DOMAIN = re.compile(r"[!-~]{1,253}")
_OPTION = re.compile(r"[a-z0-9-]+(:[0-9]+)?")
_HOSTNAME_MAX = 64  # linux/utsname.h
_NAME_MAX = 253
_LINES_MAX = 4096

_LOCALHOST_IPV4 = "127.0.0.1\tlocalhost\n"
_LOCALHOST_IPV6 = (
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)
# Where Docker asks when the host's own resolver cannot be reached from a container.
_FALLBACK_IPV4 = ("8.8.8.8", "8.8.4.4")
_FALLBACK_IPV6 = ("2001:4860:4860::8888", "2001:4860:4860::8844")


class ExtraHost(NamedTuple):
    """A line for /etc/hosts; ``address`` None means the host's gateway."""

    name: str
    address: Address | None


class Resolver(NamedTuple):
    """The content of a resolv.conf; ``others`` are lines with directives of other kinds."""

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def parse_hostname(text: str) -> str:
    """Return ``text`` when it may be a container's host name, or raise InvalidArgument."""
    if len(text) > _HOSTNAME_MAX or not _HOSTNAME.fullmatch(text):
        raise InvalidArgument(
            f"invalid hostname {text[:160]!r}: at most {_HOSTNAME_MAX} letters, digits, '-', '_',"
            " in parts divided by dots"
        )
    return text


def parse_extra_host(text: str) -> ExtraHost:
    """Return what ``--add-host name:address`` asks for (``=`` divides too), or raise
    InvalidArgument."""
    divider = "=" if "=" in text else ":"
    name, _, address = text.partition(divider)
    if len(name) > _NAME_MAX or not _HOSTNAME.fullmatch(name):
        raise InvalidArgument(f"invalid extra host {text[:160]!r}: {name[:160]!r} is no host name")
    if address == HOST_GATEWAY:
        return ExtraHost(name, None)
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    return ExtraHost(name, parse_address(address))


def hostname(name: str) -> str:
    """Return the content of /etc/hostname."""
    return parse_hostname(name) + "\n"


def hosts(
    name: str,
    addresses: Iterable[Address],
    *,
    domain: str = "",
    extra: Iterable[ExtraHost] = (),
    gateways: Sequence[Address] = (),
    ipv6: bool = True,
) -> str:
    """Return the content of /etc/hosts.

    ``addresses`` are the container's own; ``gateways`` are what ``host-gateway`` stands for;
    without ``ipv6`` no line has an IPv6 address. Raises InvalidArgument.
    """
    lines = [_LOCALHOST_IPV4, _LOCALHOST_IPV6 if ipv6 else ""]
    for entry in extra:
        if entry.address is None and not gateways:
            raise InvalidArgument(
                f"cannot add host {entry.name}: the container's networks have no gateway"
            )
        known = gateways if entry.address is None else (entry.address,)
        lines += [f"{one}\t{entry.name}\n" for one in known if ipv6 or one.version == 4]
    names = own_names(name, domain)
    lines += [f"{one}\t{names}\n" for one in addresses if ipv6 or one.version == 4]
    return "".join(lines)


def own_names(name: str, domain: str) -> str:
    """Return the names of a container for its own addresses. Raises InvalidArgument."""
    full = parse_hostname(name)
    if domain:
        full = f"{full}.{domain}"
        if len(full) > _NAME_MAX or not _HOSTNAME.fullmatch(full):
            raise InvalidArgument(f"invalid domain name {domain[:160]!r}")
    short = full.partition(".")[0]
    return full if short == full else f"{full} {short}"


def parse_resolver(text: str) -> Resolver:
    """Return the content of the host's resolv.conf; lines that say nothing valid are left out."""
    nameservers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    others: list[str] = []
    for line in text.splitlines()[:_LINES_MAX]:
        words = line.split()
        if not words or words[0][0] in "#;":
            continue
        if words[0] == "nameserver":
            nameservers += words[1:2]
        elif words[0] in ("search", "domain"):
            search = tuple(words[1:])  # the last one counts
        elif words[0] == "options":
            options += words[1:]
        else:
            others.append(" ".join(words))
    return Resolver(
        tuple(one for one in nameservers if _server(one) is not None),
        tuple(one for one in search if _DOMAIN.fullmatch(one)),
        tuple(one for one in options if _OPTION.fullmatch(one)),
        tuple(one for one in others if one.isprintable()),
    )


def behind_systemd(host: Resolver) -> bool:
    """Whether the host asks only systemd-resolved, which keeps the true list elsewhere."""
    return host.nameservers == ("127.0.0.53",)


def resolver(
    host: Resolver,
    *,
    nameservers: Sequence[str] = (),
    search: Sequence[str] = (),
    options: Sequence[str] = (),
    ipv6: bool = False,
) -> Resolver:
    """Return the resolver of a container on a bridge: the host's, with what the user asked for.

    The host's nameservers on loopback are left out, for a container has its own loopback; those
    with IPv6 addresses too, unless the container has ``ipv6``; when none is left, public ones
    take their place, as Docker does. A ``search`` of ``.`` means none. Raises InvalidArgument.
    """
    return Resolver(
        nameservers=_nameservers(host, nameservers, ipv6),
        search=_search(search) if search else host.search,
        options=_options(options) if options else host.options,
        others=host.others,
    )


def resolv_conf(content: Resolver) -> str:
    """Return the content of /etc/resolv.conf."""
    lines = [f"nameserver {one}" for one in content.nameservers]
    if content.search:
        lines.append("search " + " ".join(content.search))
    if content.options:
        lines.append("options " + " ".join(content.options))
    lines += content.others
    return "".join(line + "\n" for line in lines)


def _nameservers(host: Resolver, chosen: Sequence[str], ipv6: bool) -> tuple[str, ...]:
    if chosen:
        return tuple(str(parse_address(one)) for one in chosen)
    kept = []
    for one in host.nameservers:
        address = _server(one)
        if address and not address.is_loopback and (ipv6 or address.version == 4):
            kept.append(one)
    return tuple(kept) or _FALLBACK_IPV4 + (_FALLBACK_IPV6 if ipv6 else ())


def _server(text: str) -> Address | None:
    """Return the address of a nameserver; a zone, as in fe80::1%eth0, is the host's affair."""
    try:
        return parse_address(text)
    except InvalidArgument:
        return None


def _search(domains: Sequence[str]) -> tuple[str, ...]:
    for one in domains:
        if not _DOMAIN.fullmatch(one):
            raise InvalidArgument(f"invalid search domain {one[:160]!r}")
    return tuple(one for one in domains if one != ".")


def _options(options: Sequence[str]) -> tuple[str, ...]:
    for one in options:
        if not _OPTION.fullmatch(one):
            raise InvalidArgument(f"invalid resolver option {one[:160]!r}")
    return tuple(options)
