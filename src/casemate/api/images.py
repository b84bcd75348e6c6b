"""/images, /commit, /distribution. Source: Docker Engine API v1.47, tag Image."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from casemate.api.answers import (
    BlockingBody,
    auth_header,
    filters,
    optional_body,
    platform_of,
    reply,
    sent,
    stream,
)
from casemate.api.documents import image as documents
from casemate.api.progress import report
from casemate.api.router import Call, Route
from casemate.engine import commit as committing
from casemate.engine import imageremoval, images
from casemate.engine.imagefilters import matcher
from casemate.engine.model import Config
from casemate.engine.threads import pieces
from casemate.engine.times import time_of
from casemate.errors import InvalidArgument, Unsupported
from casemate.http.message import Response
from casemate.image import save as saving
from casemate.image.progress import Report, Tell
from casemate.image.store import Image
from casemate.oci import reference as references
from casemate.oci.reference import Reference
from casemate.registry.credentials import ANONYMOUS, Keychain, from_header


async def _list(call: Call) -> Response:
    engine, request = call.engine, call.request
    matches = matcher(engine, filters(call))
    used: dict[str, int] = {}
    for record in engine.records.all():
        used[record.fixed.image or ""] = used.get(record.fixed.image or "", 0) + 1
    found = [image for image in engine.images.all() if matches(image)]
    count = request.flag("shared-size") or bool(used)
    return reply([_line(call, image, used.get(image.id, 0) if count else -1) for image in found])


def _line(call: Call, image: Image, containers: int) -> dict[str, Any]:
    return {
        "Id": image.id,
        "ParentId": "",
        "RepoTags": [n.familiar for n in image.tags],
        "RepoDigests": [n.familiar for n in image.repo_digests],
        "Created": _seconds(image.config.created),
        "Size": images.size(call.engine, image),
        "SharedSize": -1,
        "Labels": image.config.config.labels or None,
        "Containers": containers,
    }


def _seconds(created: str) -> int:
    """Return an image's own time in seconds since the epoch; 0 for what is no time."""
    try:
        return time_of(created) // 1_000_000_000
    except InvalidArgument:
        return 0


def _reference(name: str, tag: str) -> Reference:
    """Return the reference of ``name`` and ``tag``, the tag being ``latest`` if none is given."""
    found = _named(name, tag)
    return found if found.tag or found.digest else found._replace(tag=references.DEFAULT_TAG)


def _named(name: str, tag: str) -> Reference:
    """Return the reference of ``name`` and ``tag``, which may be a digest or empty."""
    whole = f"{name}{'@' if ':' in tag else ':'}{tag}" if tag else name
    return references.parse(whole, default_tag="")


def _keychain(call: Call, reference: Reference) -> Keychain:
    header = auth_header(call)
    return from_header(header, reference.domain) if header else ANONYMOUS


async def _create(call: Call) -> None:
    """Pull, or import a root tar when the query says so."""
    query = call.request.query
    if "fromSrc" in query:
        await _import(call)
        return
    if not query.get("fromImage"):
        raise InvalidArgument("neither fromImage nor fromSrc is given")
    asked = _named(query["fromImage"], query.get("tag", ""))
    keychain, platform = _keychain(call, asked), platform_of(call)

    async def work(tell: Tell) -> None:
        whole = asked.tag or asked.digest
        chosen = [asked] if whole else await images.remote_tags(call.engine, asked, keychain)
        for reference in chosen:
            await images.pull(call.engine, reference, keychain, platform, tell)

    await report(call, work)


async def _import(call: Call) -> None:
    query = call.request.query
    if query["fromSrc"] != "-":
        raise Unsupported("importing from a URL is not supported: send the archive as the body")
    repository = query.get("repo", "")
    name = _reference(repository, query.get("tag", "")) if repository else None
    body, platform = BlockingBody(call.request.body), platform_of(call)
    changes = call.request.query_all("changes")

    async def work(tell: Tell) -> None:
        with sent():
            image = await images.import_root(
                call.engine,
                body,
                name=name,
                message=query.get("message", ""),
                changes=changes,
                platform=platform,
                directory=query.get("casemate-directory", ""),
            )
        tell(Report(image.id))

    await report(call, work)


async def _load(call: Call) -> None:
    body, platform = BlockingBody(call.request.body), platform_of(call)

    async def work(tell: Tell) -> None:
        with sent():
            loaded = await images.load(call.engine, body, platform)
        for one in loaded:
            tell(_loaded(one.names, one.image))

    await report(call, work)


def _loaded(names: tuple[Reference, ...], image: Image) -> Report:
    if not names:
        return Report(f"Loaded image ID: {image.id}\n", stream=True)
    lines = "".join(f"Loaded image: {name.familiar}\n" for name in names)
    return Report(lines, stream=True)


async def _push(call: Call) -> None:
    """Push the image of that name; without a tag all that the repository has, as Docker does."""
    asked = _named(call.values["name"], call.request.query.get("tag", ""))
    if asked.digest:
        raise InvalidArgument("cannot push a digest reference")
    chosen = [asked] if asked.tag else images.tags(call.engine, asked)
    keychain = _keychain(call, asked)

    async def work(tell: Tell) -> None:
        for reference in chosen:
            pushed = await images.push(call.engine, reference, keychain, tell)
            aux = {"Tag": reference.tag, "Digest": pushed.digest, "Size": pushed.size}
            tell(Report("", aux=aux))

    await report(call, work)


async def _inspect(call: Call) -> Response:
    return reply(documents.whole(call.engine, call.engine.images.find(call.values["name"])))


async def _history(call: Call) -> Response:
    image = call.engine.images.find(call.values["name"])
    layers = list(image.layers)
    lines: list[dict[str, Any]] = []
    for entry in image.config.history:
        size = 0
        if not entry.empty_layer and layers:
            size = call.engine.layers.get(layers.pop(0)).size_bytes
        lines.append(
            {
                "Id": "<missing>",
                "Created": _seconds(entry.created),
                "CreatedBy": entry.created_by,
                "Tags": None,
                "Size": size,
                "Comment": entry.comment,
            }
        )
    lines.reverse()
    if lines:
        lines[0]["Id"] = image.id
        lines[0]["Tags"] = [n.familiar for n in image.tags] or None
    return reply(lines)


async def _tag(call: Call) -> Response:
    image = call.engine.images.find(call.values["name"])
    query = call.request.query
    name = _reference(query.get("repo", ""), query.get("tag", ""))
    if name.digest:
        raise InvalidArgument("refusing to create a tag with a digest reference")
    images.tag(call.engine, image, name)
    return Response(201)


async def _delete(call: Call) -> Response:
    request = call.request
    work = imageremoval.remove(
        call.engine,
        call.values["name"],
        force=request.flag("force"),
        prune=not request.flag("noprune"),
    )
    removed = await call.engine.to_the_end(work)
    answer = [{"Untagged": name} for name in removed.untagged]
    answer.extend({"Deleted": digest} for digest in removed.deleted)
    return reply(answer)


async def _prune(call: Call) -> Response:
    wanted = filters(call)
    dangling = wanted.pop("dangling", ["true"])
    everything = dangling[-1].lower() in ("false", "0")
    work = images.prune(call.engine, everything=everything, matches=matcher(call.engine, wanted))
    gone, freed = await call.engine.to_the_end(work)
    return reply({"ImagesDeleted": gone or None, "SpaceReclaimed": freed})


async def _get(call: Call) -> None:
    await _save(call, [call.values["name"]])


async def _get_several(call: Call) -> None:
    names = [n for value in call.request.query_all("names") for n in value.split(",") if n]
    if not names:
        raise InvalidArgument("no image named")
    await _save(call, names)


async def _save(call: Call, names: list[str]) -> None:
    chosen = [saving.Chosen.of(call.engine.images.find(name), name) for name in names]
    archive = pieces(saving.save(call.engine.images, chosen))
    async with contextlib.aclosing(archive):
        # With the first piece its images are held: what is wrong so far is an answer of its own.
        first = await anext(archive)
        await stream(call, _whole(first, archive), "application/x-tar")


async def _whole(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    yield first
    async for piece in rest:
        yield piece


async def _commit(call: Call) -> Response:
    query = call.request.query
    record = call.engine.records.find(query.get("container", ""))
    repository = query.get("repo", "")
    work = committing.commit(
        call.engine,
        record,
        name=_reference(repository, query.get("tag", "")) if repository else None,
        changes=call.request.query_all("changes"),
        config=await optional_body(call, Config),
        author=query.get("author", ""),
        comment=query.get("comment", ""),
        pause=call.request.flag("pause", default=True),
    )
    image = await call.engine.to_the_end(work)
    return reply({"Id": image.id}, 201)


ROUTES = (
    Route("GET", "/images/json", _list),
    Route("POST", "/images/create", _create),
    Route("POST", "/images/load", _load),
    Route("POST", "/images/prune", _prune),
    Route("GET", "/images/get", _get_several),
    Route("GET", "/images/{name*}/json", _inspect),
    Route("GET", "/images/{name*}/history", _history),
    Route("GET", "/images/{name*}/get", _get),
    Route("POST", "/images/{name*}/push", _push),
    Route("POST", "/images/{name*}/tag", _tag),
    Route("DELETE", "/images/{name*}", _delete),
    Route("POST", "/commit", _commit),
)
