"""``--publish`` and ``--expose``: ports, ranges of ports, and where they are published."""

from __future__ import annotations

from casemate.cli.body.addresses import canonical
from casemate.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    Bindings = dict[str, list[dict[str, str]]]

_PROTOCOLS = ("tcp", "udp", "sctp")


def published(texts: list[str]) -> Bindings:
    """Return the port bindings of ``--publish``, by port and protocol. Raises InvalidArgument."""
    bindings: Bindings = {}
    for text in texts:
        for port, binding in _specification(_short(text) if "=" in text else text):
            bindings.setdefault(port, []).append(binding)
    return bindings


def exposed(texts: list[str]) -> list[str]:
    """Return the ports of ``--expose``, each with its protocol. Raises InvalidArgument."""
    found = []
    for text in texts:
        if ":" in text:
            raise InvalidArgument(f"invalid port format for --expose: {text}")
        ports, protocol = _split_protocol(text)
        try:
            first, last = _range(ports)
        except ValueError as error:
            raise InvalidArgument(
                f"invalid range format for --expose: {text}, error: {error}"
            ) from None
        found += [f"{port}/{protocol}" for port in range(first, last + 1)]
    return found


def _short(text: str) -> str:
    """Return ``target=80,published=8080`` as ``8080:80/tcp``."""
    values = {"protocol": "tcp", "published": "", "target": ""}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or not name:
            raise InvalidArgument(
                f"invalid publish opts format (should be name=value but got '{part}')"
            )
        values[name] = value
    return f"{values['published']}:{values['target']}/{values['protocol']}"


def _specification(text: str) -> list[tuple[str, dict[str, str]]]:
    """Read ``[address:][host port:]port[/protocol]``, where ports may be ranges."""
    before, _, inner = text.rpartition(":")
    address, _, outer = before.rpartition(":")
    inner, protocol = _split_protocol(inner)
    address = _checked_address(address)
    if not inner:
        raise InvalidArgument(f"no port specified: {text}<empty>")
    first, last = _named_range(inner, "containerPort")
    low, high = _named_range(outer, "hostPort") if outer else (0, 0)
    if outer and last - first != high - low and last != first:
        raise InvalidArgument(
            f"invalid ranges specified for container and host Ports: {inner} and {outer}"
        )
    if protocol.lower() not in _PROTOCOLS:
        raise InvalidArgument(f"invalid proto: {protocol}")
    found = []
    for offset in range(last - first + 1):
        host = str(low + offset) if outer else ""
        if first == last and low != high:
            host = f"{host}-{high}"  # any free one of them
        binding = {"HostIp": address, "HostPort": host}
        found.append((f"{first + offset}/{protocol.lower()}", binding))
    return found


def _checked_address(text: str) -> str:
    plain = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if plain:
        try:
            canonical(plain)
        except ValueError:
            raise InvalidArgument(f"invalid IP address: {text}") from None
    return plain


def _split_protocol(text: str) -> tuple[str, str]:
    ports, _, protocol = text.partition("/")
    return ports, protocol or "tcp"


def _named_range(text: str, name: str) -> tuple[int, int]:
    try:
        return _range(text)
    except ValueError:
        raise InvalidArgument(f"invalid {name}: {text}") from None


def _range(text: str) -> tuple[int, int]:
    """Read ``80`` or ``80-89``. Raises ValueError."""
    low, dash, high = text.partition("-")
    first = _port(low)
    last = _port(high) if dash else first
    if last < first:
        raise ValueError(f"invalid range specified for port: {text}")
    return first, last


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 5 or int(text) > 0xFFFF:
        raise ValueError(f"invalid port: {text!r}")
    return int(text)
