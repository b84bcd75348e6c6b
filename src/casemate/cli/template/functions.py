"""The functions of templates. A ValueError or TypeError in one becomes a TemplateError."""

from __future__ import annotations

from casemate.cli import jsontext
from casemate.cli.template.values import Nothing, kind_of, printf, text_of, truth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MAX_PAD = 1000


def _json(value: Any) -> str:
    return jsontext.dumps(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, Nothing):
        return None
    return value.document() if hasattr(value, "document") else value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"wrong type of value; expected string; got {kind_of(value)}")
    return value


def _split(text: Any, separator: Any) -> list[str]:
    return _text(text).split(separator) if _text(separator) else list(_text(text))


def _join(items: Any, separator: Any) -> str:
    if isinstance(items, Nothing):
        return ""
    if not isinstance(items, (list, tuple)):
        raise ValueError(f"wrong type of value; expected list; got {kind_of(items)}")
    return _text(separator).join(map(text_of, items))


def _title(text: Any) -> str:
    words = _text(text).split(" ")
    return " ".join(word[:1].upper() + word[1:] for word in words)


def _pad(text: Any, before: Any, after: Any) -> str:
    if not 0 <= before <= _MAX_PAD or not 0 <= after <= _MAX_PAD:
        raise ValueError(f"pad takes numbers from 0 to {_MAX_PAD}")
    return " " * before + text + " " * after if _text(text) else ""


def _truncate(text: Any, length: int) -> str:
    if length < 0:
        raise ValueError("truncate takes a length that is not negative")
    return _text(text)[: int(length)]


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key, "")
        elif isinstance(value, (list, tuple, str)):
            if not isinstance(key, int) or isinstance(key, bool):
                raise ValueError(f"cannot index a list with {kind_of(key)}")
            if not 0 <= key < len(value):
                raise ValueError(f"index out of range: {key}")
            value = value.encode()[key] if isinstance(value, str) else value[key]
        elif isinstance(value, Nothing):
            raise ValueError("index of nothing")
        else:
            raise ValueError(f"can't index item of type {kind_of(value)}")
    return value


def _slice(value: Any, *bounds: Any) -> Any:
    if not isinstance(value, (str, list, tuple)):
        raise ValueError(f"can't slice item of type {kind_of(value)}")
    if len(bounds) > 2:
        raise ValueError("slice takes one or two numbers")
    start = bounds[0] if bounds else 0
    end = bounds[1] if len(bounds) > 1 else len(value)
    if not 0 <= start <= end <= len(value):
        raise ValueError(f"index out of range: {start}:{end}")
    return value[start:end]


def _len(value: Any) -> int:
    if isinstance(value, Nothing):
        return 0
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if not isinstance(value, (list, tuple, dict)):
        raise ValueError(f"len of type {kind_of(value)}")
    return len(value)


def _comparable(value: Any) -> Any:
    return None if isinstance(value, Nothing) else value


def _eq(first: Any, *others: Any) -> bool:
    if not others:
        raise ValueError("missing argument for comparison")
    first = _comparable(first)
    found = False
    for other in map(_comparable, others):
        both = first is not None and other is not None
        if both and isinstance(first, str) != isinstance(other, str):
            raise ValueError("incompatible types for comparison")
        found = found or first == other
    return found


def _less(first: Any, second: Any) -> bool:
    if isinstance(first, str) != isinstance(second, str):
        raise ValueError("incompatible types for comparison")
    return bool(first < second)


def _print(*values: Any) -> str:
    pieces: list[str] = []
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            pieces.append(" ")
        pieces.append(text_of(value))
    return "".join(pieces)


def _same(value: Any, *_: Any) -> Any:
    return value


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "eq": _eq,
    "ge": lambda first, second: not _less(first, second),
    "gt": lambda first, second: _less(second, first),
    "index": _index,
    "join": _join,
    "json": _json,
    "le": lambda first, second: not _less(second, first),
    "len": _len,
    "lower": lambda text: _text(text).lower(),
    "lt": _less,
    "ne": lambda first, second: not _eq(first, second),
    "not": lambda value: not truth(value),
    "pad": _pad,
    "print": _print,
    "printf": lambda form, *values: printf(_text(form), *values),
    "println": lambda *values: " ".join(map(text_of, values)) + "\n",
    "slice": _slice,
    "split": _split,
    "title": _title,
    "truncate": _truncate,
    "upper": lambda text: _text(text).upper(),
}
#: Evaluated by the nodes themselves, since they stop at the first value that decides.
SHORT_CIRCUITS = ("and", "or")
HEADER_FUNCTIONS = FUNCTIONS | dict.fromkeys(
    ("join", "json", "lower", "split", "title", "truncate", "upper"), _same
)
