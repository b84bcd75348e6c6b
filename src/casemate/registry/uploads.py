"""Pushing blobs: not at all when it is there, by mount from a neighbour, or by its bytes.

Source: distribution-spec v1.1, section Pushing blobs.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Literal, NamedTuple

from casemate.errors import DataLoss, Error, InvalidArgument
from casemate.oci import digest as digests
from casemate.oci.descriptor import Descriptor
from casemate.oci.digest import Digest
from casemate.oci.reference import Reference
from casemate.registry import urls
from casemate.registry.auth import Scope, merged, repository_scope
from casemate.registry.bodies import Body, DataBody, FileBody, Sent, StreamBody
from casemate.registry.client import Progress, Registry
from casemate.registry.exchange import Call
from casemate.registry.failures import MAX_BODY, Refused
from casemate.registry.headers import upload_offset
from casemate.registry.retry import Budget, Transient, persist
from casemate.registry.session import Document, Session
from casemate.registry.urls import Url

Outcome = Literal["exists", "mounted", "uploaded"]
_BINARY = ("Content-Type", "application/octet-stream")
# So many confirmed bytes earn an upload new tries.
_WORTH_TRYING = 1 << 20


class _Target(NamedTuple):
    """Where blobs go, as whom, and the tries that are left."""

    session: Session
    path: str
    scope: Scope
    budget: Budget


class _Source(NamedTuple):
    descriptor: Descriptor
    file: BinaryIO
    sent: Sent


def exists(registry: Registry, reference: Reference, descriptor: Descriptor) -> bool:
    """Return whether the repository of ``reference`` has the blob, with the size promised."""
    descriptor.checked(reference.familiar_name)
    try:
        return _exists(_target(registry, reference, ""), descriptor)
    except Refused as refused:
        raise refused.explain("push", reference.familiar_name) from refused


def push_blob(
    registry: Registry,
    reference: Reference,
    descriptor: Descriptor,
    file: BinaryIO,
    *,
    mount_from: str = "",
    progress: Progress | None = None,
) -> Outcome:
    """Have the blob ``descriptor``, whose bytes are ``file``, in the repository of ``reference``.

    ``mount_from`` is the path of a repository at the same registry that has the blob. A broken
    upload is continued where the registry knows how far it came, else begun anew. Raises
    Unauthenticated, PermissionDenied, Unavailable, DataLoss when ``file`` has another size,
    Aborted.
    """

    def sent(position: int) -> None:
        if progress:
            progress(descriptor.digest, position, descriptor.size)

    descriptor.checked(reference.familiar_name)
    found = os.fstat(file.fileno()).st_size
    if found != descriptor.size:
        raise DataLoss(f"blob {descriptor.digest} to push has {found} bytes, not {descriptor.size}")
    target = _target(registry, reference, mount_from)
    try:
        if _exists(target, descriptor):
            return "exists"
        location = _begin(target, descriptor.digest, mount_from)
        if location is None:
            return "mounted"
        _upload(target, location, _Source(descriptor, file, sent))
    except Refused as refused:
        raise refused.explain("push", reference.familiar_name) from refused
    return "uploaded"


def push_stream(
    registry: Registry, reference: Reference, pieces: Iterable[bytes | bytearray | memoryview]
) -> tuple[Digest, int]:
    """Push a blob whose digest shows only at its end; return its sha256 digest and size.

    Bytes that are gone cannot be sent again, so a broken upload is an Unavailable at once.
    """
    target = _target(registry, reference, "")
    state = hashlib.sha256()
    size = 0

    def hashed() -> Iterator[bytes | bytearray | memoryview]:
        nonlocal size
        for piece in pieces:
            state.update(piece)
            size += memoryview(piece).nbytes
            yield piece

    try:
        location = _begin(target, None, "")
        if location is None:
            raise InvalidArgument(f"{target.session.base.origin} ended an upload at its beginning")
        try:
            location = _patch(target, location, (_BINARY,), StreamBody(hashed()))
            digest = Digest(f"sha256:{state.hexdigest()}")
            persist(target.budget, lambda: _complete(target, location, digest, DataBody()))
        except BaseException:
            _cancel(target, location)
            raise
    except Transient as failure:
        raise failure.error from failure
    except Refused as refused:
        raise refused.explain("push", reference.familiar_name) from refused
    return digest, size


def _target(registry: Registry, reference: Reference, mount_from: str) -> _Target:
    session = registry.upstream(reference.domain)
    scope = repository_scope(reference.path, "pull", "push")
    if mount_from:
        scope = merged((*scope, *repository_scope(mount_from, "pull")))
    return _Target(session, reference.path, scope, session.budget())


def _exists(target: _Target, descriptor: Descriptor) -> bool:
    call = Call("HEAD", target.session.url(f"{target.path}/blobs/{descriptor.digest}"))
    answer = target.session.document(call, target.scope, (200, 404), 0)
    return answer.status == 200 and answer.length in (None, descriptor.size)


def _begin(target: _Target, digest: Digest | None, mount_from: str) -> Url | None:
    """Begin an upload and return its URL, None when the blob was mounted instead."""
    query: list[tuple[str, str]] = []
    if digest and mount_from:
        query = [("mount", digest), ("from", mount_from)]
    elif digest and digests.algorithm(digest) != "sha256":
        query = [("digest-algorithm", digests.algorithm(digest))]
    url = target.session.url(f"{target.path}/blobs/uploads/", query)
    call = Call("POST", url, (), DataBody())
    answer = target.session.document(call, target.scope, (201, 202), MAX_BODY)
    if answer.status == 201 and mount_from:
        return None
    return _location(target, answer)


def _location(target: _Target, answer: Document) -> Url:
    what = f"the upload location from {target.session.base.origin}"
    if answer.location is None:
        raise InvalidArgument(f"{what} is missing")
    found = urls.join(answer.url, answer.location, what)
    target.session.connections.config.check_step(answer.url.origin, found.origin, what)
    return found


def _upload(target: _Target, location: Url, source: _Source) -> None:
    position = 0
    while True:
        try:
            _send_rest(target, location, source, position)
            return
        except Transient as failure:
            target.budget.spend(failure)
        except (Error, Refused):
            _cancel(target, location)
            raise
        confirmed = _confirmed(target, location)
        if confirmed is None or confirmed[1] > source.descriptor.size:
            fresh = _begin(target, source.descriptor.digest, "")
            if fresh is None:
                return
            location, position = fresh, 0
            continue
        if confirmed[1] - position >= _WORTH_TRYING:
            target.budget.renew()
        location, position = confirmed


def _send_rest(target: _Target, location: Url, source: _Source, position: int) -> None:
    """Send what is missing: in the closing request when that is all, else before it."""
    descriptor, file, sent = source
    body: Body = FileBody(file, position, descriptor.size - position, sent)
    if position:
        if position < descriptor.size:
            part = ("Content-Range", f"{position}-{descriptor.size - 1}")
            location = _patch(target, location, (_BINARY, part), body)
        body = DataBody()
    _complete(target, location, descriptor.digest, body)


def _patch(target: _Target, location: Url, headers: tuple[tuple[str, str], ...], body: Body) -> Url:
    call = Call("PATCH", location, headers, body)
    return _location(target, target.session.once(call, target.scope, (202, 204)))


def _complete(target: _Target, location: Url, digest: Digest, body: Body) -> None:
    url = location.with_query((("digest", digest),))
    commit_s = target.session.connections.config.timeouts.commit_s
    call = Call("PUT", url, (_BINARY,), body, commit_s)
    answer = target.session.once(call, target.scope, (201, 204))
    known = answer.digest.partition(":")[0] == digests.algorithm(digest)
    if known and answer.digest != digest:
        raise DataLoss(f"{location.origin} stored blob {digest} as {answer.digest[:160]}")


def _confirmed(target: _Target, location: Url) -> tuple[Url, int] | None:
    return persist(target.budget, lambda: _status(target, location))


def _status(target: _Target, location: Url) -> tuple[Url, int] | None:
    """Ask how far an upload came; None when the registry does not say or has forgotten it."""
    try:
        answer = target.session.once(Call("GET", location), target.scope, (200, 204))
    except Refused:
        return None
    position = upload_offset(answer.range)
    if position is None:
        return None
    return (_location(target, answer) if answer.location else location), position


def _cancel(target: _Target, location: Url) -> None:
    """Tell the registry that nothing more will come; it finds out anyway."""
    try:
        target.session.once(Call("DELETE", location, (), DataBody()), target.scope, (204,))
    except (Transient, Refused, Error):
        pass
