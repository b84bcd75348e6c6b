"""Limits on resources, and the other options that are numbers with units."""

from __future__ import annotations

from casemate.client.amounts import parse_duration, parse_int, parse_size
from casemate.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.arguments import Arguments

_BILLION = 1_000_000_000
_ULIMITS = frozenset(
    "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending"
    " stack".split()
)


def resources(arguments: Arguments) -> dict[str, Any]:
    """Return the limits of HostConfig. Raises BadUsage."""
    swappiness = arguments.number("memory-swappiness")
    if swappiness != -1 and not 0 <= swappiness <= 100:
        raise InvalidArgument(
            f"invalid value: {swappiness}. Valid memory swappiness range is 0-100"
        )
    return {
        **changeable(arguments),
        "CgroupParent": arguments.text("cgroup-parent"),
        **_own(arguments),
        "MemorySwappiness": swappiness,
        "OomKillDisable": arguments.switch("oom-kill-disable"),
        "PidsLimit": arguments.number("pids-limit"),
        "Ulimits": _ulimits(arguments),
        # Windows has these; no option of ours sets them.
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    }


def _own(arguments: Arguments) -> dict[str, Any]:
    """Return what docker's engine does not know, when it was given."""
    found: dict[str, Any] = {}
    if arguments.given("group"):
        found["Group"] = arguments.text("group")
    if arguments.given("on-unhealthy"):
        found["OnUnhealthy"] = arguments.text("on-unhealthy")
    if arguments.given("hugepage-limit"):
        found["HugepageLimits"] = [
            _hugepages(arguments, t) for t in arguments.items("hugepage-limit")
        ]
    return found


def _hugepages(arguments: Arguments, text: str) -> dict[str, Any]:
    size_name, equals, amount = text.partition("=")
    try:
        if not equals or not size_name:
            raise ValueError("expected SIZE=BYTES, such as 2MB=64m")
        return {"PageSize": size_name, "Limit": parse_size(amount)}
    except ValueError as error:
        raise arguments.refuse("hugepage-limit", error, text) from None


def changeable(arguments: Arguments) -> dict[str, Any]:
    """Return the limits that can also be changed later. Raises BadUsage."""
    return {
        "CpuShares": arguments.number("cpu-shares"),
        "Memory": size(arguments, "memory"),
        "NanoCpus": cpus(arguments),
        "BlkioWeight": _weight(arguments),
        "CpuPeriod": arguments.number("cpu-period"),
        "CpuQuota": arguments.number("cpu-quota"),
        "CpuRealtimePeriod": arguments.number("cpu-rt-period"),
        "CpuRealtimeRuntime": arguments.number("cpu-rt-runtime"),
        "CpusetCpus": arguments.text("cpuset-cpus"),
        "CpusetMems": arguments.text("cpuset-mems"),
        "MemoryReservation": size(arguments, "memory-reservation"),
        "MemorySwap": size(arguments, "memory-swap", unlimited=True),
    }


def size(arguments: Arguments, name: str, unlimited: bool = False) -> int:
    """Return an option in bytes, 0 when it is absent. Raises BadUsage."""
    if not arguments.given(name):
        return 0
    text = arguments.text(name)
    if unlimited and text == "-1":
        return -1
    try:
        return parse_size(text)
    except ValueError as error:
        raise arguments.refuse(name, error) from None


def duration_ns(arguments: Arguments, name: str) -> int:
    """Return an option in nanoseconds, 0 when it is absent. Raises BadUsage."""
    if not arguments.given(name):
        return 0
    try:
        span = parse_duration(arguments.text(name))
    except ValueError as error:
        raise arguments.refuse(name, error) from None
    if span < 0:
        raise InvalidArgument(f"--{name} cannot be negative")
    return span


def healthcheck(arguments: Arguments) -> dict[str, Any] | None:
    """Return the health check, None to leave it to the image. Raises InvalidArgument."""
    command = arguments.text("health-cmd")
    retries = arguments.number("health-retries")
    made: dict[str, Any] = {
        "Test": ["CMD-SHELL", command] if command else None,
        "Interval": duration_ns(arguments, "health-interval"),
        "Timeout": duration_ns(arguments, "health-timeout"),
        "StartPeriod": duration_ns(arguments, "health-start-period"),
        "StartInterval": duration_ns(arguments, "health-start-interval"),
        "Retries": retries,
    }
    given = {name: value for name, value in made.items() if value}
    if arguments.switch("no-healthcheck"):
        if given:
            raise InvalidArgument("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    if retries < 0:
        raise InvalidArgument("--health-retries cannot be negative")
    return given or None


def restart_policy(text: str) -> dict[str, Any]:
    """Return the policy of ``--restart``. Raises InvalidArgument."""
    name, colon, count = text.partition(":")
    if colon and not name:
        raise InvalidArgument("invalid restart policy format: no policy provided before colon")
    try:
        retries = parse_int(count) if count else 0
    except ValueError:
        raise InvalidArgument(
            "invalid restart policy format: maximum retry count must be an integer"
        ) from None
    return {"Name": name, "MaximumRetryCount": retries}


def cpus(arguments: Arguments) -> int:
    """Return ``--cpus`` in billionths: a decimal number, or a fraction such as 1/2."""
    text = arguments.text("cpus")
    if not text:
        return 0
    over, slash, under = text.partition("/")
    whole, _, fraction = over.partition(".")
    digits = (whole + fraction, under if slash else "1")
    if not all(d.isascii() and d.isdigit() and len(d) <= 18 for d in digits) or not int(digits[1]):
        raise arguments.refuse("cpus", f"failed to parse {text} as a rational number")
    exact = int(digits[0]) * _BILLION
    scale = int(digits[1]) * int("1" + "0" * len(fraction))
    if exact % scale:
        raise arguments.refuse("cpus", "value is too precise")
    return exact // scale


def _weight(arguments: Arguments) -> int:
    if not arguments.given("blkio-weight"):
        return 0
    try:
        return parse_int(arguments.text("blkio-weight"), 0, 0xFFFF)
    except ValueError as error:
        raise arguments.refuse("blkio-weight", error) from None


def _ulimits(arguments: Arguments) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for text in arguments.items("ulimit"):
        try:
            limit = _ulimit(text)
        except ValueError as error:
            raise arguments.refuse("ulimit", error, text) from None
        found[limit["Name"]] = limit
    return [found[name] for name in sorted(found)]


def _ulimit(text: str) -> dict[str, Any]:
    """Read ``name=soft[:hard]``. Raises ValueError."""
    name, equals, values = text.partition("=")
    if not equals:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in _ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    parts = values.split(":")
    if len(parts) > 2:
        raise ValueError(
            f"too many limit value arguments - {values}, can only have up to two, `soft[:hard]`"
        )
    soft, hard = parse_int(parts[0]), parse_int(parts[-1])
    if hard != -1 and (soft == -1 or soft > hard):
        raise ValueError(
            "ulimit soft limit must be less than or equal to hard limit:"
            + (f" soft: -1 (unlimited), hard: {hard}" if soft == -1 else f" {soft} > {hard}")
        )
    return {"Name": name, "Hard": hard, "Soft": soft}
