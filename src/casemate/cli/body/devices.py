"""``--device``, ``--gpus``, and the limits on block devices."""

from __future__ import annotations

from casemate.cli.body.environment import pairs
from casemate.cli.body.records import fields
from casemate.client.amounts import parse_int, parse_size
from casemate.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.arguments import Arguments

_BPS = (
    "The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer."
    " Unit is optional and can be kb, mb, or gb"
)
_IOPS = "The correct format is <device-path>:<number>. Number must be a positive integer"


def device_config(arguments: Arguments) -> dict[str, Any]:
    """Return everything of HostConfig that is about devices. Raises BadUsage, InvalidArgument."""
    texts = arguments.items("device")
    qualified = [text for text in texts if _is_cdi_name(text)]
    return {
        "BlkioWeightDevice": weights(arguments),
        "BlkioDeviceReadBps": rates(arguments, "device-read-bps"),
        "BlkioDeviceWriteBps": rates(arguments, "device-write-bps"),
        "BlkioDeviceReadIOps": rates(arguments, "device-read-iops"),
        "BlkioDeviceWriteIOps": rates(arguments, "device-write-iops"),
        "Devices": [_device(text) for text in texts if text not in qualified],
        "DeviceCgroupRules": cgroup_rules(arguments) or None,
        "DeviceRequests": device_requests(arguments, qualified) or None,
    }


def device_requests(arguments: Arguments, cdi_names: list[str]) -> list[dict[str, Any]]:
    """Return the requests of ``--gpus`` and those for CDI devices. Raises BadUsage."""
    found = []
    for text in arguments.items("gpus"):
        try:
            found.append(_gpu_request(text))
        except ValueError as error:
            raise arguments.refuse("gpus", error, text) from None
    if cdi_names:
        found.append(_request(Driver="cdi", DeviceIDs=cdi_names))
    return found


def cgroup_rules(arguments: Arguments) -> list[str]:
    """Return ``--device-cgroup-rule``: ``type major:minor mode``. Raises BadUsage."""
    rules = arguments.items("device-cgroup-rule")
    for rule in rules:
        kind, _, rest = rule.partition(" ")
        numbers, _, mode = rest.partition(" ")
        major, _, minor = numbers.partition(":")
        named = all(n == "*" or (n.isascii() and n.isdigit()) for n in (major, minor))
        if kind not in ("a", "c", "b") or not named or not _letters(mode, 3):
            reason = f"invalid device cgroup format '{rule}'"
            raise arguments.refuse("device-cgroup-rule", reason, rule)
    return rules


def weights(arguments: Arguments) -> list[dict[str, Any]]:
    """Return ``--blkio-weight-device``. Raises BadUsage."""
    found = []
    for text in arguments.items("blkio-weight-device"):
        path, value = _device_value(arguments, "blkio-weight-device", text)
        weight = int(value) if value.isascii() and value.isdigit() and len(value) < 6 else -1
        if weight and not 10 <= weight <= 1000:
            reason = f"invalid weight for device: {text}"
            raise arguments.refuse("blkio-weight-device", reason, text)
        found.append({"Path": path, "Weight": weight})
    return found


def rates(arguments: Arguments, name: str) -> list[dict[str, Any]]:
    """Return an option such as ``--device-read-bps``; IO operations are plain numbers."""
    found = []
    for text in arguments.items(name):
        path, value = _device_value(arguments, name, text)
        try:
            rate = parse_size(value) if name.endswith("-bps") else parse_int(value, low=0)
        except ValueError:
            rule = _BPS if name.endswith("-bps") else _IOPS
            reason = f"invalid rate for device: {text}. {rule}"
            raise arguments.refuse(name, reason, text) from None
        found.append({"Path": path, "Rate": rate})
    return found


def _device(text: str) -> dict[str, str]:
    """Read ``host path[:container path][:permissions]``. Raises InvalidArgument."""
    parts = text.split(":")
    if not parts[0] or len(parts) > 3:
        raise InvalidArgument(f"bad format for path: {text}")
    permissions = "rwm"
    if len(parts) == 3:
        permissions = parts.pop()
        if not _is_mode(permissions):
            raise InvalidArgument(f"bad mode specified: {permissions}")
    elif len(parts) == 2 and _is_mode(parts[1]):
        permissions = parts.pop()
    inside = parts[-1]
    if not inside.startswith("/"):
        raise InvalidArgument(f"{inside} is not an absolute path")
    outside = parts[0] if len(parts) == 2 else _cleaned(inside)
    return {
        "PathOnHost": outside,
        "PathInContainer": _cleaned(inside) if len(text.split(":")) < 3 else inside,
        "CgroupPermissions": permissions,
    }


def _cleaned(path: str) -> str:
    import posixpath

    return posixpath.normpath(path).replace("//", "/", 1)


def _is_mode(text: str) -> bool:
    return _letters(text, 3) and len(set(text)) == len(text)


def _letters(text: str, most: int) -> bool:
    return 0 < len(text) <= most and not set(text) - set("rwm")


def _is_cdi_name(text: str) -> bool:
    """Return whether ``text`` is ``vendor/class=name``. Source: CDI SPEC.md."""
    kind, equals, name = text.partition("=")
    vendor, slash, family = kind.partition("/")
    parts = (vendor, family, name)
    return bool(
        equals
        and slash
        and all(part and part[0].isascii() and part[0].isalnum() for part in parts)
        and all(c.isascii() and (c.isalnum() or c in "_-.:") for part in parts for c in part)
        and (vendor[0].isalpha() and family[0].isalpha())
    )


def _request(**given: Any) -> dict[str, Any]:
    empty = {"Driver": "", "Count": 0, "DeviceIDs": None, "Capabilities": None, "Options": None}
    return empty | given


def _gpu_request(text: str) -> dict[str, Any]:
    given: dict[str, Any] = {}
    seen: set[str] = set()
    for field in fields(text):
        name, equals, value = field.partition("=")
        if name in seen:
            raise ValueError(f"gpu request key '{name}' can be specified only once")
        seen.add(name)
        if not equals:
            seen.add("count")
            given["Count"] = _count(name)
        elif name == "count":
            given["Count"] = _count(value)
        elif name == "driver":
            given["Driver"] = value
        elif name == "device":
            given["DeviceIDs"] = value.split(",")
        elif name == "capabilities":
            given["Capabilities"] = [[*value.split(","), "gpu"]]
        elif name == "options":
            given["Options"] = pairs(fields(value))
        else:
            raise ValueError(f"unexpected key '{name}' in '{field}'")
    if "count" not in seen and "DeviceIDs" not in given:
        given["Count"] = 1
    return _request(**({"Capabilities": [["gpu"]], "Options": {}} | given))


def _count(text: str) -> int:
    if text == "all":
        return -1
    try:
        return parse_int(text)
    except ValueError:
        raise ValueError(
            f'invalid count ({text}): value must be either "all" or an integer'
        ) from None


def _device_value(arguments: Arguments, name: str, text: str) -> tuple[str, str]:
    path, colon, value = text.partition(":")
    if not colon or not path:
        raise arguments.refuse(name, f"bad format: {text}", text)
    if not path.startswith("/dev/"):
        raise arguments.refuse(name, f"bad format for device path: {text}", text)
    return path, value
