"""What went wrong, in our own words: broken connections, and what a registry says when it refuses.

Source: distribution-spec v1.1 section Error Codes; messages as Docker Engine words them.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
from collections.abc import Iterator

import msgspec

from casemate.errors import (
    Conflict,
    DataLoss,
    Error,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from casemate.registry.hosts import domain_of
from casemate.registry.retry import Transient
from casemate.registry.urls import Origin

#: At most so much of an error's body is read.
MAX_BODY = 64 << 10
_MAX_SHOWN = 300
#: Statuses after which the same request may well succeed.
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_BROKEN = (
    ConnectionResetError,
    ConnectionAbortedError,
    BrokenPipeError,
    TimeoutError,
    http.client.IncompleteRead,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
)


class _Item(msgspec.Struct, frozen=True):
    code: str = ""
    message: str = ""


class _Body(msgspec.Struct, frozen=True):
    errors: list[_Item] = []
    #: The form of OAuth2 token services, and of some proxies.
    details: str = ""
    message: str = ""


class Refused(Exception):
    """A registry or its token service answered with an error. ``anonymous``: we said no name."""

    def __init__(self, origin: Origin, status: int, body: bytes, *, anonymous: bool) -> None:
        self.origin = origin
        self.status = status
        self.code, self.text = _read(status, body)
        self.anonymous = anonymous
        super().__init__(self.text)

    def explain(self, verb: str, name: str) -> Error:
        """Return the Error for an attempt to ``verb`` (pull, push) the repository ``name``."""
        denied = f"{verb} access denied for {name}"
        hint = login_hint(self.origin)
        if self.status in (401, 403) and self.anonymous:
            message = f"{denied}, repository does not exist or may require 'docker login'"
            kind: type[Error] = NotFound if verb == "pull" else Unauthenticated
            return kind(f"{message}: {self.text}", hint=hint)
        if self.status == 401:
            return Unauthenticated(f"{denied}: {self.text}", hint=hint)
        if self.status == 403:
            return PermissionDenied(f"{denied}: {self.text}")
        if self.status == 429:
            return Unavailable(f"cannot {verb} {name}: {self.text}", hint=hint)
        kind = _KINDS.get(self.status, Unavailable if self.status >= 500 else InvalidArgument)
        return kind(f"cannot {verb} {name}: {self.text}")


def login_hint(origin: Origin) -> str:
    """Return what to do about a host that does not know us."""
    return f"run: casemate login {domain_of(origin.netloc)}"


_KINDS: dict[int, type[Error]] = {
    404: NotFound,
    405: Unsupported,
    416: DataLoss,
    409: Conflict,
    408: Unavailable,
    429: Unavailable,
    501: Unsupported,
}


def _read(status: int, body: bytes) -> tuple[str, str]:
    """Return code and message of an error's body, bounded and printable."""
    try:
        found = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        found = _Body()
    if not found.errors:
        text = found.details or found.message or http.client.responses.get(status, "refused")
        return "", printable(f"{text.lower()} (status {status})")
    first = found.errors[0]
    code = first.code.lower().replace("_", " ")
    text = f"{code}: {first.message}" if code and first.message else first.message or code
    return first.code[:_MAX_SHOWN], printable(text)


def printable(text: str) -> str:
    """Return what a peer wrote, bounded, and without what would steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in text[:_MAX_SHOWN])


@contextlib.contextmanager
def translating(origin: Origin) -> Iterator[None]:
    """Turn what sockets, TLS and HTTP raise into Transient or Unavailable about ``origin``."""
    try:
        yield
    except _BROKEN as error:
        raise Transient(Unavailable(f"{origin}: {_reason(error)}")) from error
    except ssl.SSLCertVerificationError as error:
        raise Unavailable(
            f"{origin}: the certificate cannot be verified: {error.verify_message}",
            hint=f"put its authority into /etc/casemate/certs.d/{origin.netloc}/ca.crt",
        ) from error
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).replace("_", " ").lower()
        raise Unavailable(
            f"{origin}: no TLS connection: {reason}",
            hint=f'if it speaks plain HTTP, add "{origin.netloc}" to registry.insecure',
        ) from error
    except OSError as error:
        raise Unavailable(f"{origin}: {_reason(error)}") from error
    except http.client.HTTPException as error:
        raise Unavailable(f"{origin}: no valid HTTP: {type(error).__name__}") from error


def _reason(error: OSError | http.client.HTTPException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.IncompleteRead):
        return "the answer ended early"
    if isinstance(error, http.client.RemoteDisconnected):
        return "the connection was closed without an answer"
    return printable(getattr(error, "strerror", None) or str(error)).lower()
