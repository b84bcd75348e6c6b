"""The error classes of casemate, and what each one means to HTTP and the shell.

    Error
    ├── NotFound            the named object does not exist
    ├── AlreadyExists       the name is taken
    ├── InvalidArgument     the input breaks a rule; the message names the input and the rule
    ├── FailedPrecondition  the object exists but is in the wrong state
    ├── Conflict            another operation or reference stands in the way
    ├── PermissionDenied    the caller may not
    ├── Unauthenticated     the caller must say who they are
    ├── Unavailable         a peer (registry, engine, shim) cannot be reached or answered
    ├── Unsupported         the option or the kernel interface is not to be had here
    ├── Aborted             interrupted on purpose
    ├── DataLoss            stored or received bytes are not what their digest says
    └── Internal            a bug, or the kernel refused what it should not

Messages are lower case, name the object and have no final period: ``cannot pull alpine:3.20:
manifest unknown``. A hint says what to do next and is shown on a line of its own.
"""

from __future__ import annotations


class Error(Exception):
    """Base of every error that casemate raises on purpose.

    ``message`` says what failed and why; ``hint`` (may be None) says what the user can do.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class NotFound(Error):
    """The named object does not exist."""


class AlreadyExists(Error):
    """The name is already in use."""


class InvalidArgument(Error):
    """The input breaks a rule."""


class FailedPrecondition(Error):
    """The object is not in the state that the operation needs."""


class Conflict(Error):
    """Another reference or operation stands in the way."""


class PermissionDenied(Error):
    """The caller may not do this."""


class Unauthenticated(Error):
    """The caller must authenticate first."""


class Unavailable(Error):
    """A peer could not be reached, or failed for now; trying again may help."""


class Unsupported(Error):
    """The option is not supported, or this kernel cannot do it."""


class Aborted(Error):
    """The operation was interrupted on purpose."""


class DataLoss(Error):
    """Bytes are not what their digest or length says."""


class Internal(Error):
    """A defect of casemate, or an unexpected refusal of the kernel."""


# What each class is to an HTTP client; as the Docker Engine API uses the codes.
HTTP_STATUS: dict[type[Error], int] = {
    NotFound: 404,
    AlreadyExists: 409,
    InvalidArgument: 400,
    FailedPrecondition: 409,
    Conflict: 409,
    PermissionDenied: 403,
    Unauthenticated: 401,
    Unavailable: 503,
    Unsupported: 501,
    Aborted: 499,
    DataLoss: 500,
    Internal: 500,
}


def http_status(error: BaseException) -> int:
    """Return the HTTP status code for ``error``; 500 for what is not an ``Error``."""
    for kind in type(error).__mro__:
        if kind in HTTP_STATUS:
            return HTTP_STATUS[kind]
    return 500


def shortage(error: BaseException, what: str) -> Unavailable | None:
    """Return what ``error`` is when the machine has too little of something, None for any other.

    That is descriptors, disk space, memory or threads; the message is ``what: reason``.
    """
    if isinstance(error, MemoryError):
        return Unavailable(f"{what}: out of memory")
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return Unavailable(f"{what}: no more threads or processes may be started")
    known = from_os(error, what) if isinstance(error, OSError) else None
    return known if isinstance(known, Unavailable) else None


def from_os(error: OSError, what: str) -> Error:
    """Return the Error class that fits an OSError, its message being ``what: reason``."""
    import errno

    reason = error.strerror or str(error)
    kinds: dict[int, type[Error]] = {
        errno.ENOENT: NotFound,
        errno.ENAMETOOLONG: InvalidArgument,
        errno.EEXIST: AlreadyExists,
        errno.EACCES: PermissionDenied,
        errno.EPERM: PermissionDenied,
        errno.EBUSY: Conflict,
        errno.ENOSYS: Unsupported,
        errno.EOPNOTSUPP: Unsupported,
        errno.ENOSPC: Unavailable,
        errno.EDQUOT: Unavailable,
        errno.EROFS: Unavailable,
        errno.ECONNREFUSED: Unavailable,
        errno.EAGAIN: Unavailable,
        errno.ENOMEM: Unavailable,
        errno.EMFILE: Unavailable,
        errno.ENFILE: Unavailable,
    }
    kind = kinds.get(error.errno or 0, Internal)
    place = f" ({error.filename})" if error.filename else ""
    hint = None
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "free some space: casemate system prune, or a larger disk for the data root"
    return kind(f"{what}: {reason.lower()}{place}", hint=hint)
