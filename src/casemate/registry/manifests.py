"""Documents of a repository: resolve a reference, fetch by digest, push; list the tags."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import msgspec

from casemate.errors import DataLoss, InvalidArgument, NotFound
from casemate.oci import digest as digests
from casemate.oci import manifest as manifests
from casemate.oci import media
from casemate.oci.descriptor import Descriptor
from casemate.oci.digest import Digest
from casemate.oci.manifest import Index, Manifest
from casemate.oci.platform import Platform
from casemate.oci.reference import Reference
from casemate.registry import urls
from casemate.registry.auth import repository_scope
from casemate.registry.bodies import DataBody
from casemate.registry.client import Registry
from casemate.registry.exchange import Call
from casemate.registry.failures import MAX_BODY, Refused
from casemate.registry.headers import next_link
from casemate.registry.session import Document, Session

_ACCEPT = (("Accept", ", ".join(media.ACCEPT)),)
_MAX_TAGS = 100_000
_MAX_PAGE = 4 << 20


class Resolved(NamedTuple):
    """A document and what it is called. ``data`` are the bytes that the digest is of."""

    descriptor: Descriptor
    data: bytes
    document: Manifest | Index


class _Tags(msgspec.Struct, frozen=True):
    tags: list[str] | None = None


def resolve(registry: Registry, reference: Reference, platform: Platform | None = None) -> Resolved:
    """Return the document that ``reference`` names, verified.

    With ``platform`` an index is followed to the manifest that serves it best. A digest in the
    reference decides, whatever its tag. Raises NotFound, Unauthenticated, PermissionDenied,
    Unavailable, DataLoss; InvalidArgument or Unsupported for a document that breaks the rules.
    """
    found = registry.first(reference.domain, lambda session: _get(session, reference, None))
    if platform is None or not isinstance(found.document, Index):
        return found
    chosen = manifests.select(found.document, platform, reference.familiar)
    return fetch(registry, reference, chosen)


def fetch(registry: Registry, reference: Reference, descriptor: Descriptor) -> Resolved:
    """Return the document ``descriptor`` of the repository of ``reference``, verified."""
    if descriptor.size > manifests.MAX_BYTES:
        raise InvalidArgument(
            f"{reference.familiar_name}@{descriptor.digest}: a manifest of {descriptor.size}"
            f" bytes is larger than {manifests.MAX_BYTES}"
        )
    exact = reference._replace(tag="", digest=descriptor.digest)
    return registry.first(exact.domain, lambda session: _get(session, exact, descriptor))


def describe(registry: Registry, reference: Reference) -> Descriptor:
    """Return what ``reference`` names, without its bytes.

    Costs a HEAD request, which registries do not count. Trust it only to ask for that digest.
    """

    def action(session: Session) -> Descriptor:
        found = _ask(session, "HEAD", reference, 0)
        if not found.digest or found.length is None or not found.content_type:
            return _get(session, reference, None).descriptor
        return Descriptor(found.content_type, digests.parse(found.digest), found.length)

    return registry.first(reference.domain, action)


def push(registry: Registry, reference: Reference, data: bytes, media_type: str) -> Digest:
    """Store ``data`` under the tag of ``reference``, or its digest if it has no tag."""
    digest = digests.of(data)
    if reference.digest and not reference.tag and reference.digest != digest:
        raise InvalidArgument(f"cannot push {reference.familiar}: the document has digest {digest}")
    session = registry.upstream(reference.domain)
    url = session.url(f"{reference.path}/manifests/{reference.tag or digest}")
    call = Call("PUT", url, (("Content-Type", media_type),), DataBody(data))
    scope = repository_scope(reference.path, "pull", "push")
    try:
        answer = session.document(call, scope, (200, 201, 202), MAX_BODY)
    except Refused as refused:
        raise refused.explain("push", reference.familiar_name) from refused
    if answer.digest.startswith("sha256:") and answer.digest != digest:
        raise DataLoss(f"{session.base.origin} stored {reference.familiar} as {answer.digest[:80]}")
    return digest


def tags(registry: Registry, reference: Reference) -> list[str]:
    """Return the tags of the repository of ``reference``, in the registry's order."""
    session = registry.upstream(reference.domain)
    url = session.url(f"{reference.path}/tags/list", (("n", "1000"),))
    scope = repository_scope(reference.path, "pull")
    what = f"tags of {reference.familiar_name}"
    found: list[str] = []
    while True:
        try:
            page = session.document(Call("GET", url), scope, (200,), _MAX_PAGE)
            names = msgspec.json.decode(page.data, type=_Tags).tags or []
        except Refused as refused:
            raise refused.explain("pull", reference.familiar_name) from refused
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise InvalidArgument(f"{what}: {error}") from error
        found += names
        following = next_link(list(page.links))
        if following is None or not names:
            return found
        if len(found) > _MAX_TAGS:
            raise InvalidArgument(f"{what}: more than {_MAX_TAGS}")
        url = urls.join(url, following, what)
        if url.origin != session.base.origin:
            raise InvalidArgument(f"{what}: the next page is on another host, {url.origin}")


def _get(session: Session, reference: Reference, expected: Descriptor | None) -> Resolved:
    name = reference.familiar
    limit = expected.size if expected else manifests.MAX_BYTES
    answer = _ask(session, "GET", reference, limit)
    digest = _verified(answer, reference, session)
    if expected and len(answer.data) != expected.size:
        raise DataLoss(f"{name}: {len(answer.data)} bytes instead of {expected.size}")
    if expected and answer.content_type and answer.content_type != expected.media_type:
        raise InvalidArgument(
            f"{name}: served as {answer.content_type[:160]!r} instead of {expected.media_type!r}"
        )
    document = manifests.parse(answer.data, answer.content_type, name)
    media_type = answer.content_type or document.media_type or _guessed(document)
    return Resolved(Descriptor(media_type, digest, len(answer.data)), answer.data, document)


def _ask(session: Session, method: str, reference: Reference, limit: int) -> Document:
    url = session.url(f"{reference.path}/manifests/{reference.digest or reference.tag}")
    scope = repository_scope(reference.path, "pull")
    try:
        return session.document(Call(method, url, _ACCEPT), scope, (200,), limit)
    except Refused as refused:
        if refused.status == 404 and refused.code != "NAME_UNKNOWN":
            raise NotFound(f"manifest for {reference.familiar} not found: {refused.text}") from None
        raise refused.explain("pull", reference.familiar_name) from refused


def _verified(answer: Document, reference: Reference, session: Session) -> Digest:
    """Return the digest of the document; what was asked for, and what was promised, must agree."""
    for wanted in (reference.digest, answer.digest):
        if not wanted:
            continue
        wanted = digests.parse(wanted)
        found = hashlib.new(digests.algorithm(wanted), answer.data).hexdigest()
        if found != digests.encoded(wanted):
            raise DataLoss(
                f"{reference.familiar}: {session.base.origin} sent a manifest"
                f" with the digest {digests.algorithm(wanted)}:{found} instead of {wanted}"
            )
    return reference.digest or digests.of(answer.data)


def _guessed(document: Manifest | Index) -> str:
    return media.OCI_INDEX if isinstance(document, Index) else media.OCI_MANIFEST
