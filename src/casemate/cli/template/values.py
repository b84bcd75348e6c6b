"""Values as Go shows them, and ``printf``."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: JSON says null for all of them; Go shows an empty map, a pointer to nothing or an empty list.
_MAPS = frozenset(
    {"Annotations", "Attributes", "DriverOpts", "ExposedPorts", "Labels", "Options", "PortBindings",
     "Ports", "StorageOpt", "Sysctls", "Tmpfs", "Volumes"}
)  # fmt: skip
_POINTERS = frozenset(
    {"Health", "Healthcheck", "IPAMConfig", "Init", "MemorySwappiness", "OomKillDisable",
     "PidsLimit", "Platform", "StopTimeout", "UsageData"}
)  # fmt: skip


class Nothing:
    """A value that is not there: null, or a field that is absent. It counts as false.

    ``shown`` is what it prints as; None when printing it is a mistake in the template.
    """

    __slots__ = ("name", "shown")

    def __init__(self, name: str, shown: str | None) -> None:
        self.name = name
        self.shown = shown


def null(name: str) -> Nothing:
    """Return what the field ``name`` is when JSON has null for it."""
    return Nothing(name, "map[]" if name in _MAPS else "<nil>" if name in _POINTERS else "[]")


def absent(name: str, owner: dict[str, Any]) -> Nothing:
    """Return what the field ``name`` of ``owner`` is when it is not there.

    An object of texts is the user's own (labels, options): any name is fine. In others it is a
    mistake, unless the template only asks whether it is there.
    """
    users_own = all(isinstance(value, str) for value in owner.values())
    return Nothing(name, "<no value>" if users_own else None)


def truth(value: Any) -> bool:
    """Return whether ``if`` takes ``value`` for true."""
    return not isinstance(value, Nothing) and bool(value)


def text_of(value: Any) -> str:
    """Return ``value`` as Go's ``%v``."""
    if isinstance(value, str):
        return value
    if value is None:
        return "<nil>"
    if isinstance(value, Nothing):
        return value.shown or "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < 1e21
        return str(int(value)) if whole else repr(value)
    if isinstance(value, dict):
        pairs = sorted(value.items(), key=lambda pair: str(pair[0]))
        return "map[" + " ".join(f"{text_of(k)}:{text_of(v)}" for k, v in pairs) + "]"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(map(text_of, value)) + "]"
    if hasattr(value, "document"):
        return text_of(value.document())
    return str(value)


def kind_of(value: Any) -> str:
    """Return the name of a value's type for messages."""
    names = {str: "string", bool: "bool", int: "int", float: "float64", list: "slice", dict: "map"}
    return names.get(type(value), "nil" if value is None or isinstance(value, Nothing) else "value")


def printf(form: str, *arguments: Any) -> str:
    """Return ``form`` with its verbs filled as by Go's ``fmt.Sprintf``."""
    pieces: list[str] = []
    rest = list(arguments)
    position = 0
    while (percent := form.find("%", position)) >= 0:
        pieces.append(form[position:percent])
        end = percent + 1
        while end < len(form) and form[end] in "+-# 0123456789.":
            end += 1
        flags, verb = form[percent + 1 : end], form[end : end + 1]
        position = end + 1
        if verb == "%":
            pieces.append("%")
        elif not verb:
            pieces.append("%!(NOVERB)")
        elif not rest:
            pieces.append(f"%!{verb}(MISSING)")
        else:
            pieces.append(_verb(flags, verb, rest.pop(0)))
    pieces.append(form[position:])
    if rest:
        extra = ", ".join(f"{kind_of(value)}={text_of(value)}" for value in rest)
        pieces.append(f"%!(EXTRA {extra})")
    return "".join(pieces)


def _verb(flags: str, verb: str, value: Any) -> str:
    width, _, precision = flags.lstrip("+-# 0").partition(".")
    if max(len(width), len(precision)) > 4:
        return f"%!{verb}(BADWIDTH)"
    if not (width + precision).isdigit() and width + precision:
        return f"%!{verb}(BADWIDTH)"  # flags behind the width
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        if verb in "vs" or (verb == "t" and isinstance(value, bool)):
            shown = text_of(value)
            shown = shown[: int(precision)] if precision else shown
        elif verb == "q":
            from casemate.cli.jsontext import dumps

            shown = dumps(text_of(value))
        elif verb in "xX" and isinstance(value, str):
            shown = value.encode().hex()
        elif number and verb in "dxXobceEfFgG":
            return f"%{flags}{verb}" % value if verb not in "bc" else format(value, verb)
        else:
            return f"%!{verb}({kind_of(value)}={text_of(value)})"
    except (ValueError, TypeError, OverflowError):
        return f"%!{verb}({kind_of(value)}={text_of(value)})"
    size = int(width or 0)
    return shown.ljust(size) if "-" in flags else shown.rjust(size)
