"""Network addresses and host names, checked before they are sent."""

from __future__ import annotations

import _socket

_GATEWAY = "host-gateway"


def canonical(text: str) -> str:
    """Return an IPv4 or IPv6 address in its canonical form. Raises ValueError."""
    family = _socket.AF_INET6 if ":" in text else _socket.AF_INET
    try:
        return _socket.inet_ntop(family, _socket.inet_pton(family, text.strip()))
    except OSError:
        raise ValueError(f"IP address is not correctly formatted: {text}") from None


def extra_host(text: str) -> str:
    """Return ``--add-host`` as the API takes it: ``name:address``. Raises ValueError."""
    name, separator, address = text.partition("=")
    if not separator:
        name, separator, address = text.partition(":")
    if not separator or not name or ":" in name:
        raise ValueError(f'bad format for add-host: "{text}"')
    if address != _GATEWAY:
        if address.startswith("[") and address.endswith("]"):
            address = address[1:-1]
        try:
            canonical(address)
        except ValueError:
            raise ValueError(f'invalid IP address in add-host: "{address}"') from None
    return f"{name}:{address}"


def search_domain(text: str) -> str:
    """Return a domain of ``--dns-search``; "." stands for none. Raises ValueError."""
    domain = text.strip(" ").rstrip()
    if domain == ".":
        return domain
    labels = domain.removesuffix(".").split(".")
    lettered = any(c.isascii() and c.isalpha() for c in domain)
    if not lettered or len(domain) >= 255 or not all(map(_is_label, labels)):
        raise ValueError(f"{domain} is not a valid domain")
    return domain.removesuffix(".")


def check_mac(text: str) -> str:
    """Return ``text`` when it is a MAC address. Raises ValueError."""
    plain = text.strip()
    for separator, digits in ((":", 2), ("-", 2), (".", 4)):
        groups = plain.split(separator)
        if len(groups) * digits in (12, 16, 40) and all(len(g) == digits for g in groups):
            if all(c in "0123456789abcdefABCDEF" for g in groups for c in g):
                return text
    raise ValueError(f"{text} is not a valid mac address")


def _is_label(text: str) -> bool:
    inside = all(c.isascii() and (c.isalnum() or c == "-") for c in text)
    return inside and bool(text) and not text.startswith("-") and not text.endswith("-")
