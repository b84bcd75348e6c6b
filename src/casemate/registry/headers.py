"""Readers of the response headers that decide something; every one is written by an attacker.

Source: RFC 9110 sections 10.2.3, 11.6.1 and 14.4; RFC 8288 (Link).
"""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from casemate.errors import InvalidArgument

_MAX = 8192
_MAX_CHALLENGES = 16
_MAX_PARAMETERS = 32
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(_TOKEN)
_PARAMETER = re.compile(
    rf'({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t -~])*)"|([^\s",;=]+))'
)
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))")
_GAP = re.compile(r"[ \t,]*")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_UPLOAD_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})")
_LINK = re.compile(r'<([^<>]{1,4096})>\s*;\s*rel\s*=\s*"?next"?\s*(?:[,;]|$)', re.IGNORECASE)


class Challenge(NamedTuple):
    """One way to authenticate; ``scheme`` and the parameter names are in lower case."""

    scheme: str
    parameters: dict[str, str]


def challenges(values: list[str]) -> list[Challenge]:
    """Parse WWW-Authenticate fields. Raises InvalidArgument for what is outside the grammar."""
    found: list[Challenge] = []
    for value in values:
        if len(value) > _MAX:
            raise InvalidArgument(f"the WWW-Authenticate header is longer than {_MAX} bytes")
        position = _gap(value, 0)
        while position < len(value):
            challenge, position = _challenge(value, position)
            found.append(challenge)
            if len(found) > _MAX_CHALLENGES:
                raise InvalidArgument(f"more than {_MAX_CHALLENGES} WWW-Authenticate challenges")
    return found


def _challenge(value: str, position: int) -> tuple[Challenge, int]:
    scheme = _SCHEME.match(value, position)
    if not scheme:
        raise _malformed()
    position = scheme.end()
    parameters: dict[str, str] = {}
    if value[position : position + 1] in (" ", "\t"):
        start = _gap(value, position)
        if token := _TOKEN68.match(value, start):
            # Either an opaque token (Negotiate) or the next scheme without parameters.
            if "," not in value[position:start]:
                return Challenge(scheme[0].lower(), parameters), _gap(value, token.end())
            return Challenge(scheme[0].lower(), parameters), start
        position = _parameters(value, start, parameters)
        if not parameters and start < len(value) and "," not in value[:start][scheme.end() :]:
            raise _malformed()
    elif position < len(value) and value[position] != ",":
        raise _malformed()
    return Challenge(scheme[0].lower(), parameters), _gap(value, position)


def _parameters(value: str, position: int, found: dict[str, str]) -> int:
    while parameter := _PARAMETER.match(value, position):
        name, quoted, plain = parameter.groups()
        if name.lower() in found:
            raise InvalidArgument(f"the WWW-Authenticate parameter {name[:40]!r} is there twice")
        if len(found) >= _MAX_PARAMETERS:
            raise InvalidArgument(f"more than {_MAX_PARAMETERS} WWW-Authenticate parameters")
        found[name.lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        position = parameter.end()
        following = _gap(value, position)
        if following < len(value) and "," not in value[position:following]:
            raise _malformed()
        position = following
    return position


def _gap(value: str, position: int) -> int:
    match = _GAP.match(value, position)
    return match.end() if match else position


def _malformed() -> InvalidArgument:
    return InvalidArgument("the WWW-Authenticate header is malformed")


def retry_after_s(value: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for, None when it says nothing usable."""
    if not value or len(value) > 64:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(min(int(value), 10**9))
    try:
        when = parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None
    return max(0.0, when - time.time())


class ContentRange(NamedTuple):
    """Which bytes a 206 answer holds, ``last`` included; ``size`` is None when not told."""

    first: int
    last: int
    size: int | None


def content_range(value: str | None) -> ContentRange | None:
    """Parse a Content-Range header in bytes; None when there is none or it makes no sense."""
    match = _CONTENT_RANGE.fullmatch(value or "")
    if not match:
        return None
    size = None if match[3] == "*" else int(match[3])
    found = ContentRange(int(match[1]), int(match[2]), size)
    if found.first > found.last or (size is not None and found.last >= size):
        return None
    return found


def upload_offset(value: str | None) -> int | None:
    """Return how many bytes an upload holds by its Range header, None when it does not say.

    A registry cannot say "none" in this form: by custom ``0-0`` stands for it, and a blob of one
    byte is simply sent again.
    """
    match = _UPLOAD_RANGE.fullmatch((value or "").strip())
    if not match:
        return None
    last = int(match[1])
    return last + 1 if last else 0


def next_link(values: list[str]) -> str | None:
    """Return the target of the Link header with the relation ``next``."""
    for value in values:
        if len(value) <= _MAX and (match := _LINK.search(value)):
            return match[1]
    return None
