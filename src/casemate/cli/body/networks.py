"""``--network`` and the options that belong to the container's end of it."""

from __future__ import annotations

from casemate.cli.body.addresses import check_mac
from casemate.client.amounts import parse_int
from casemate.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.arguments import Arguments

_BUILT_IN = ("default", "bridge", "host", "none")
#: What the API's type has besides; the engine fills it in.
_UNSET = {
    "NetworkID": "",
    "EndpointID": "",
    "Gateway": "",
    "IPAddress": "",
    "IPPrefixLen": 0,
    "IPv6Gateway": "",
    "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0,
    "DNSNames": None,
}


class Attachment:
    """One ``--network``: the network and the container's end of it."""

    __slots__ = ("address", "address6", "aliases", "driver_options", "gateway_priority",
                 "link_local", "links", "mac", "target")  # fmt: skip

    def __init__(self, target: str) -> None:
        self.target = target
        self.aliases: list[str] = []
        self.links: list[str] = []
        self.link_local: list[str] = []
        self.driver_options: dict[str, str] = {}
        self.address = ""
        self.address6 = ""
        self.mac = ""
        self.gateway_priority = 0

    @property
    def user_defined(self) -> bool:
        """Whether the network was made by a user."""
        return self.target not in _BUILT_IN and not self.target.startswith("container:")

    def endpoint(self) -> dict[str, Any]:
        """Return the endpoint as the API has it. Raises InvalidArgument."""
        if not self.target.strip():
            raise InvalidArgument("no name set for network")
        if not self.user_defined and self.aliases:
            raise InvalidArgument(
                "network-scoped aliases are only supported for user-defined networks"
            )
        if not self.user_defined and self.links:
            raise InvalidArgument("links are only supported for user-defined networks")
        if self.mac:
            _checked_mac(self.mac)
        addressed = self.address or self.address6 or self.link_local
        addresses = {
            "IPv4Address": self.address,
            "IPv6Address": self.address6,
            "LinkLocalIPs": self.link_local,
        }
        return {
            "IPAMConfig": {k: v for k, v in addresses.items() if v} if addressed else None,
            "Links": self.links or None,
            "Aliases": self.aliases or None,
            "MacAddress": self.mac,
            "DriverOpts": self.driver_options or None,
            "GwPriority": self.gateway_priority,
            **_UNSET,
        }


def attachments(arguments: Arguments) -> list[Attachment]:
    """Return every ``--network``; the options beside it belong to the first one."""
    found = []
    for text in arguments.items("network"):
        try:
            found.append(_parsed(text))
        except ValueError as error:
            raise arguments.refuse("network", error, text) from None
    if mac := arguments.text("mac-address"):
        _checked_mac(mac)
    _apply(found[0] if found else Attachment("default"), arguments)
    return found


def endpoints(found: list[Attachment], arguments: Arguments) -> dict[str, dict[str, Any]]:
    """Return the endpoints by network, as docker's command sends them. Raises InvalidArgument."""
    if not found:
        alone = Attachment("default")
        _apply(alone, arguments)
        return {alone.target: alone.endpoint()}
    made: dict[str, dict[str, Any]] = {}
    for attachment in found:
        endpoint = attachment.endpoint()
        if attachment.target in made:
            raise InvalidArgument(f'network "{attachment.target}" is specified multiple times')
        made[attachment.target] = endpoint
    if len({attachment.user_defined for attachment in found}) > 1:
        raise InvalidArgument(
            "conflicting options: cannot attach both user-defined and non-user-defined"
            " network-modes"
        )
    plain = Attachment("x").endpoint()
    return {} if len(made) == 1 and list(made.values()) == [plain] else made


def _apply(attachment: Attachment, arguments: Arguments) -> None:
    """Give the options ``--ip``, ``--network-alias`` … to an attachment that lacks them."""
    for option, name, value, what in (
        ("network-alias", "aliases", arguments.items("network-alias"), "alias"),
        ("link", "links", arguments.items("link"), "links"),
        ("ip", "address", arguments.text("ip"), "IPv4 address"),
        ("ip6", "address6", arguments.text("ip6"), "IPv6 address"),
        ("mac-address", "mac", arguments.text("mac-address"), "MAC address"),
        (
            "link-local-ip",
            "link_local",
            arguments.items("link-local-ip"),
            "link-local IP addresses",
        ),
    ):
        if not value:
            continue
        if getattr(attachment, name):
            raise InvalidArgument(
                f"conflicting options: cannot specify both --{option} and per-network {what}"
            )
        if name != "links" or attachment.user_defined:  # else they are the old kind of link
            setattr(attachment, name, value)


def _parsed(text: str) -> Attachment:
    """Read ``NAME`` or ``name=NAME,alias=…,ip=…``. Raises ValueError."""
    if "=" not in text:
        return Attachment(text)
    from casemate.cli.body.records import fields

    made = Attachment("")
    for field in fields(text):
        name, equals, value = (part.strip() for part in field.lower().partition("="))
        if not equals or not name:
            raise ValueError(f"invalid field {field}")
        _put(made, name, value)
    if not made.target:
        raise ValueError("network name/id is not specified")
    return made


def _put(made: Attachment, name: str, value: str) -> None:
    texts = {"name": "target", "ip": "address", "ip6": "address6", "mac-address": "mac"}
    lists = {"alias": made.aliases, "link-local-ip": made.link_local}
    if name in texts:
        setattr(made, texts[name], value)
    elif name in lists:
        lists[name].append(value)
    elif name == "driver-opt":
        key, equals, option = value.partition("=")
        if not equals or not key:
            raise ValueError("invalid key value pair format in driver options")
        made.driver_options[key.strip()] = option.strip()
    elif name == "gw-priority":
        try:
            made.gateway_priority = parse_int(value)
        except ValueError as error:
            raise ValueError(f"invalid gw-priority ({value}): {error}") from None
    else:
        raise ValueError(f"invalid field key {name}")


def _checked_mac(text: str) -> None:
    try:
        check_mac(text)
    except ValueError as error:
        raise InvalidArgument(str(error)) from None
