"""Blobs of a repository, piece by piece: of exactly the promised length, resumed where they broke.

Whether the bytes are the right ones shows at their end: that is for the content writer to say.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

from casemate.errors import (
    Aborted,
    DataLoss,
    Error,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unsupported,
)
from casemate.oci.descriptor import Descriptor
from casemate.oci.reference import Reference
from casemate.registry.auth import repository_scope
from casemate.registry.client import Registry
from casemate.registry.exchange import Call, Reply
from casemate.registry.failures import Refused
from casemate.registry.headers import content_range
from casemate.registry.retry import Transient
from casemate.registry.session import Session

#: As much as this is taken from the socket at once when it is there.
PIECE = 1 << 20
# So much must come within the time that a stall may last.
_STALL_BYTES = 64 << 10
#: So much progress earns a blob new tries.
_WORTH_TRYING = 1 << 20


def fetch(
    registry: Registry,
    reference: Reference,
    descriptor: Descriptor,
    offset: int = 0,
    *,
    direct: bool = False,
) -> Generator[memoryview, None, None]:
    """Yield the bytes of the blob from ``offset`` on, ``descriptor.size`` in all.

    A piece is valid until the next one is asked for. A break is resumed by range at the same
    source, then at the next; ``direct`` passes over the mirrors. Close the iterator to stop.
    Raises NotFound, Unauthenticated, PermissionDenied, Unavailable, DataLoss for another length,
    Unsupported for a layer that is only to be had at foreign URLs, Aborted.
    """
    descriptor.checked(reference.familiar_name)
    buffer = memoryview(bytearray(PIECE))
    position = offset
    for session in registry.sources(reference.domain):
        if session.is_mirror and direct:
            continue
        try:
            for piece in _from(session, reference, descriptor, position, buffer):
                position += len(piece)
                yield piece
            return
        except Aborted:
            raise
        except Error as error:
            if not session.is_mirror:
                raise
            registry.passed_over(reference.domain, session, error)


def _from(
    session: Session,
    reference: Reference,
    descriptor: Descriptor,
    position: int,
    buffer: memoryview,
) -> Iterator[memoryview]:
    budget = session.budget()
    while position < descriptor.size:
        before = position
        try:
            with _open(session, reference, descriptor, position) as reply:
                for piece in _pieces(session, reply, descriptor.size - position, buffer):
                    position += len(piece)
                    yield piece
                _expect_end(session, reply, descriptor, buffer)
        except Transient as failure:
            if position - before >= _WORTH_TRYING:
                budget.renew()
            budget.spend(failure)
        except Refused as refused:
            raise _explained(refused, reference, descriptor) from refused


def _open(session: Session, reference: Reference, descriptor: Descriptor, position: int) -> Reply:
    """Ask for the blob and return a reply whose next byte is the one at ``position``."""
    call = Call("GET", session.url(f"{reference.path}/blobs/{descriptor.digest}"))
    if position:
        call = call._replace(headers=(("Range", f"bytes={position}-{descriptor.size - 1}"),))
    scope = repository_scope(reference.path, "pull")
    reply = session.attempt(call, scope, frozenset({200, 206}))
    try:
        _advance(reply, descriptor, position, session)
    except BaseException:
        reply.close()
        raise
    return reply


def _advance(reply: Reply, descriptor: Descriptor, position: int, session: Session) -> None:
    """Check what the head promises, and read on to ``position`` where it begins before."""
    what = f"blob {descriptor.digest}"
    encoding = (reply.header("Content-Encoding") or "identity").lower()
    if encoding != "identity":
        raise InvalidArgument(f"{what}: {session.base.origin} encoded it as {encoding[:40]!r}")
    begin = 0
    if reply.status == 206:
        part = content_range(reply.header("Content-Range"))
        if part is None or part.first != position or not position:
            raise DataLoss(f"{what}: {session.base.origin} sent another range than asked for")
        if part.size not in (None, descriptor.size):
            raise DataLoss(f"{what}: {part.size} bytes instead of {descriptor.size}")
        begin = position
    if reply.length is not None and begin + reply.length != descriptor.size:
        raise DataLoss(f"{what}: {begin + reply.length} bytes instead of {descriptor.size}")
    if begin < position:
        # The server knows no ranges: what we have goes by once more.
        scrap = memoryview(bytearray(PIECE))
        for _ in _pieces(session, reply, position, scrap):
            pass


def _pieces(session: Session, reply: Reply, size: int, buffer: memoryview) -> Iterator[memoryview]:
    """Yield the next ``size`` bytes of the body. Raises Transient when it ends before."""
    limit_s = session.connections.config.timeouts.stall_s
    unbounded = 0
    while size:
        if unbounded <= 0:
            reply.within(limit_s)
            unbounded = _STALL_BYTES
        count = reply.readinto(buffer[:size])
        if not count:
            raise Transient(Unavailable(f"{reply.url.origin}: the blob broke off"))
        size -= count
        unbounded -= count
        yield buffer[:count]


def _expect_end(session: Session, reply: Reply, descriptor: Descriptor, buffer: memoryview) -> None:
    """Read on where the server did not say how long the body is; nothing may follow."""
    reply.within(session.connections.config.timeouts.answer_s)
    if reply.readinto(buffer[:1]):
        raise DataLoss(f"blob {descriptor.digest} is longer than {descriptor.size} bytes")


def _explained(refused: Refused, reference: Reference, descriptor: Descriptor) -> Error:
    if refused.status != 404:
        return refused.explain("pull", reference.familiar_name)
    if descriptor.urls:
        return Unsupported(
            f"cannot pull {reference.familiar_name}: layer {descriptor.digest} is only to be had"
            " at foreign URLs, which are refused"
        )
    return NotFound(
        f"cannot pull {reference.familiar_name}: blob {descriptor.digest}: {refused.text}"
    )
