"""``--volume``, ``--tmpfs`` and ``--mount``."""

from __future__ import annotations

import os

from casemate.cli.body.records import fields
from casemate.cli.units import parse_bool
from casemate.client.amounts import parse_size
from casemate.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Mount = dict[str, Any]


def binds(texts: list[str]) -> tuple[list[str], dict[str, dict[str, str]]]:
    """Return the binds and the anonymous volumes of ``--volume``. Raises InvalidArgument."""
    bound: list[str] = []
    anonymous: dict[str, dict[str, str]] = {}
    for text in dict.fromkeys(texts):
        parts = text.split(":")
        if "" in parts:
            raise InvalidArgument(
                "invalid empty volume spec"
                if not text
                else f"invalid spec: {text}: empty section between colons"
            )
        if len(parts) > 3:
            raise InvalidArgument(f"invalid spec: {text}: too many colons")
        if len(parts) == 1:
            anonymous[text] = {}
        elif text.startswith("."):
            bound.append(":".join([os.path.abspath(parts[0]), *parts[1:]]))
        else:
            bound.append(text)
    return bound, anonymous


def mount(text: str) -> Mount:
    """Return one ``--mount`` as the API has it. Raises ValueError."""
    made: Mount = {"Type": "volume"}
    for field in fields(text):
        name, equals, value = field.partition("=")
        name = name.lower()
        if not equals and name not in _SWITCHES:
            raise ValueError(f"invalid field '{field}' must be a key=value pair")
        if name not in _KEYS:
            raise ValueError(f"unexpected key '{name}' in '{field}'")
        _KEYS[name](made, name, value if equals else "true")
    _check(made)
    return made


def _check(made: Mount) -> None:
    kind = made["Type"]
    if not kind:
        raise ValueError("type is required")
    if not made.get("Target"):
        raise ValueError("target is required")
    for family in ("volume", "image", "bind", "tmpfs"):
        if f"{family.capitalize()}Options" in made and kind != family:
            raise ValueError(f"cannot mix '{family}-*' options with mount type '{kind}'")
    bind = made.get("BindOptions", {})
    if bind.get("ReadOnlyNonRecursive") and not made.get("ReadOnly"):
        raise ValueError(
            "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction"
        )
    if bind.get("ReadOnlyForceRecursive"):
        for wanted, given in (
            ("readonly", made.get("ReadOnly")),
            ("bind-propagation=rprivate", bind.get("Propagation") == "rprivate"),
        ):
            if not given:
                raise ValueError(
                    f"option 'bind-recursive=readonly' requires '{wanted}'"
                    " to be specified in conjunction"
                )


def _put_kind(made: Mount, name: str, value: str) -> None:
    made["Type"] = value.lower()


def _put_source(made: Mount, name: str, value: str) -> None:
    made["Source"] = os.path.abspath(value) if value.startswith(".") else value


def _put_target(made: Mount, name: str, value: str) -> None:
    made["Target"] = value


def _put_consistency(made: Mount, name: str, value: str) -> None:
    made["Consistency"] = value.lower()


def _put_readonly(made: Mount, name: str, value: str) -> None:
    _put_switch(made, "ReadOnly", name, value)


def _put_propagation(made: Mount, name: str, value: str) -> None:
    made.setdefault("BindOptions", {})["Propagation"] = value.lower()


def _put_nonrecursive(made: Mount, name: str, value: str) -> None:
    _put_switch(made.setdefault("BindOptions", {}), "NonRecursive", name, value)


def _put_recursive(made: Mount, name: str, value: str) -> None:
    kinds = {
        "enabled": "",
        "disabled": "NonRecursive",
        "writable": "ReadOnlyNonRecursive",
        "readonly": "ReadOnlyForceRecursive",
    }
    if value not in kinds:
        raise ValueError(
            f"invalid value for {name}: {value}"
            ' (must be "enabled", "disabled", "writable", or "readonly")'
        )
    if kinds[value]:
        made.setdefault("BindOptions", {})[kinds[value]] = True


def _volume_options(made: Mount) -> Mount:
    options: Mount = made.setdefault("VolumeOptions", {})
    options.setdefault("DriverConfig", {})
    return options


def _put_nocopy(made: Mount, name: str, value: str) -> None:
    _put_switch(_volume_options(made), "NoCopy", name, value)


def _put_volume_subpath(made: Mount, name: str, value: str) -> None:
    _volume_options(made)["Subpath"] = value


def _put_volume_label(made: Mount, name: str, value: str) -> None:
    _put_pair(_volume_options(made), "Labels", value)


def _put_volume_driver(made: Mount, name: str, value: str) -> None:
    _volume_options(made)["DriverConfig"]["Name"] = value


def _put_volume_option(made: Mount, name: str, value: str) -> None:
    _put_pair(_volume_options(made)["DriverConfig"], "Options", value)


def _put_image_subpath(made: Mount, name: str, value: str) -> None:
    made.setdefault("ImageOptions", {})["Subpath"] = value


def _put_tmpfs_size(made: Mount, name: str, value: str) -> None:
    try:
        size = parse_size(value)
    except ValueError:
        raise ValueError(f"invalid value for {name}: {value}") from None
    if size:
        made.setdefault("TmpfsOptions", {})["SizeBytes"] = size


def _put_tmpfs_mode(made: Mount, name: str, value: str) -> None:
    if not value or set(value) - set("01234567") or len(value) > 11:
        raise ValueError(f"invalid value for {name}: {value}")
    if int(value, 8):
        made.setdefault("TmpfsOptions", {})["Mode"] = int(value, 8)


def _put_switch(options: Mount, key: str, name: str, value: str) -> None:
    try:
        if parse_bool(value):
            options[key] = True
        else:
            options.pop(key, None)
    except ValueError:
        raise ValueError(f"invalid value for {name}: {value}") from None


def _put_pair(options: Mount, key: str, value: str) -> None:
    name, _, text = value.partition("=")
    if name:
        options.setdefault(key, {})[name] = text


_SWITCHES = ("readonly", "ro", "volume-nocopy", "bind-nonrecursive")
_KEYS: dict[str, Callable[[Mount, str, str], None]] = {
    "type": _put_kind,
    "source": _put_source,
    "src": _put_source,
    "target": _put_target,
    "dst": _put_target,
    "destination": _put_target,
    "readonly": _put_readonly,
    "ro": _put_readonly,
    "consistency": _put_consistency,
    "bind-propagation": _put_propagation,
    "bind-nonrecursive": _put_nonrecursive,
    "bind-recursive": _put_recursive,
    "volume-subpath": _put_volume_subpath,
    "volume-nocopy": _put_nocopy,
    "volume-label": _put_volume_label,
    "volume-driver": _put_volume_driver,
    "volume-opt": _put_volume_option,
    "image-subpath": _put_image_subpath,
    "tmpfs-size": _put_tmpfs_size,
    "tmpfs-mode": _put_tmpfs_mode,
}
