"""Blobs in pieces: the promised length and no byte more, resumed where they broke."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest

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
from casemate.oci.digest import Digest
from casemate.oci.reference import Reference
from casemate.registry import blobs
from casemate.registry.client import Registry
from support.registry import OCI_LAYER, FakeRegistry, digest_of

from .conftest import QUICK, Connect

Name = Callable[[str], Reference]
DATA = random.Random(2).randbytes(3_000_000)


@pytest.fixture
def blob(fake: FakeRegistry) -> Descriptor:
    digest = fake.add_blob("app", DATA)
    return Descriptor(OCI_LAYER, Digest(digest), len(DATA))


def fetched(registry: Registry, reference: Reference, blob: Descriptor, offset: int = 0) -> bytes:
    return b"".join(bytes(piece) for piece in blobs.fetch(registry, reference, blob, offset))


def ranges(fake: FakeRegistry) -> list[str | None]:
    return [request.range for request in fake.asked("GET", "/blobs/")]


def test_a_blob_comes_whole(
    fake: FakeRegistry, client: Registry, name: Name, blob: Descriptor
) -> None:
    assert fetched(client, name("app:1"), blob) == DATA
    assert ranges(fake) == [None]


def test_an_offset_asks_for_the_rest_only(
    fake: FakeRegistry, client: Registry, name: Name, blob: Descriptor
) -> None:
    assert fetched(client, name("app:1"), blob, 1_000_000) == DATA[1_000_000:]
    assert ranges(fake) == ["bytes=1000000-2999999"]


def test_nothing_is_asked_for_a_blob_that_is_there(
    fake: FakeRegistry, client: Registry, name: Name, blob: Descriptor
) -> None:
    assert fetched(client, name("app:1"), blob, len(DATA)) == b""
    assert ranges(fake) == []


def test_a_break_is_resumed_from_the_byte_that_was_next(
    fake: FakeRegistry, client: Registry, name: Name, blob: Descriptor
) -> None:
    fake.wrong.truncate_at, fake.wrong.truncate_times = 1_234_567, 1
    assert fetched(client, name("app:1"), blob) == DATA
    assert ranges(fake) == [None, "bytes=1234567-2999999"]


def test_a_blob_that_always_breaks_at_once_is_given_up(
    fake: FakeRegistry, client: Registry, name: Name, blob: Descriptor
) -> None:
    fake.wrong.truncate_at, fake.wrong.truncate_times = 10, -1
    with pytest.raises(Unavailable, match="ended early"):
        fetched(client, name("app:1"), blob)
    assert ranges(fake) == [None, "bytes=10-2999999", "bytes=20-2999999"]


def test_progress_earns_new_tries(
    fake: FakeRegistry, client: Registry, name: Name, connect: Connect
) -> None:
    data = bytes(6 << 20)
    blob = Descriptor(OCI_LAYER, Digest(fake.add_blob("app", data)), len(data))
    fake.wrong.truncate_at, fake.wrong.truncate_times = 1 << 20, -1
    assert fetched(client, name("app:1"), blob) == data
    assert len(ranges(fake)) == 6


def test_a_server_without_ranges_sends_all_again_and_the_rest_is_taken(
    fake: FakeRegistry, client: Registry, name: Name, blob: Descriptor
) -> None:
    fake.wrong.ignore_range = True
    assert fetched(client, name("app:1"), blob, 2_000_001) == DATA[2_000_001:]


def test_another_range_than_asked_for_is_refused(
    fake: FakeRegistry, client: Registry, name: Name, blob: Descriptor
) -> None:
    fake.wrong.wrong_range = True
    with pytest.raises(DataLoss, match="another range"):
        fetched(client, name("app:1"), blob, 5)


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_blob_of_another_length_is_refused_unread(
    client: Registry, name: Name, blob: Descriptor, difference: int
) -> None:
    lying = Descriptor(OCI_LAYER, blob.digest, len(DATA) + difference)
    with pytest.raises(DataLoss, match=f"3000000 bytes instead of {3000000 + difference}"):
        fetched(client, name("app:1"), lying)


def test_a_blob_of_unknown_length_comes_whole(
    fake: FakeRegistry, client: Registry, name: Name, blob: Descriptor
) -> None:
    fake.wrong.chunked = True
    assert fetched(client, name("app:1"), blob) == DATA


def test_more_than_promised_in_chunks_is_refused(
    fake: FakeRegistry, client: Registry, name: Name, blob: Descriptor
) -> None:
    fake.wrong.chunked = True
    fake.wrong.extra_bytes = 1
    with pytest.raises(DataLoss, match="longer than 3000000"):
        fetched(client, name("app:1"), blob)


def test_an_encoded_blob_is_refused(
    fake: FakeRegistry, client: Registry, name: Name, blob: Descriptor
) -> None:
    fake.wrong.content_encoding = "gzip"
    with pytest.raises(InvalidArgument, match="encoded it as 'gzip'"):
        fetched(client, name("app:1"), blob)
    assert fake.asked("GET", "blobs")[0].headers["accept-encoding"] == "identity"


def test_a_missing_blob_is_not_found(client: Registry, name: Name) -> None:
    missing = Descriptor(OCI_LAYER, Digest(digest_of(b"?")), 1)
    with pytest.raises(NotFound, match="blob unknown"):
        fetched(client, name("app:1"), missing)


def test_foreign_urls_are_not_followed(
    fake: FakeRegistry, other: FakeRegistry, client: Registry, name: Name
) -> None:
    digest = other.add_blob("x", DATA)
    url = f"{other.url}/v2/x/blobs/{digest}"
    foreign = Descriptor(OCI_LAYER, Digest(digest), len(DATA), urls=(url,))
    with pytest.raises(Unsupported, match="foreign URLs"):
        fetched(client, name("app:1"), foreign)
    assert other.requests == []


def test_a_digest_outside_the_grammar_is_asked_nobody(
    fake: FakeRegistry, client: Registry, name: Name
) -> None:
    evil = Descriptor(OCI_LAYER, Digest("sha256:/../../../secret"), 5)
    with pytest.raises(InvalidArgument):
        fetched(client, name("app:1"), evil)
    assert fake.requests == []


def test_a_redirect_is_followed_and_resumed(
    fake: FakeRegistry, other: FakeRegistry, client: Registry, name: Name, blob: Descriptor
) -> None:
    other.add_blob("storage", DATA)
    fake.wrong.redirect_blobs = f"{other.url}/v2/storage/blobs/{{digest}}?signature=secret"
    other.wrong.truncate_at, other.wrong.truncate_times = 1000, 1
    assert fetched(client, name("app:1"), blob) == DATA
    assert ranges(other) == [None, "bytes=1000-2999999"]


def test_a_redirect_that_leads_in_circles_ends(
    fake: FakeRegistry, client: Registry, name: Name, blob: Descriptor
) -> None:
    fake.wrong.redirect_blobs = f"{fake.url}/v2/app/blobs/{{digest}}"
    with pytest.raises(InvalidArgument, match="more than 5 redirects"):
        fetched(client, name("app:1"), blob)


@pytest.mark.parametrize(
    "location",
    [
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "http://user:password@127.0.0.1/",
        "http://evil.example/x",
        "http://[::1/x",
        "//",
        "http://a\u00e4b/",
        "http://127.0.0.1:99999/",
    ],
)
def test_a_redirect_to_where_nobody_should_go_is_refused(
    fake: FakeRegistry, client: Registry, name: Name, blob: Descriptor, location: str
) -> None:
    fake.wrong.redirect_blobs = location
    with pytest.raises(Error) as caught:
        fetched(client, name("app:1"), blob)
    assert not isinstance(caught.value, Unavailable)


def test_a_signature_in_a_url_is_not_shown(
    fake: FakeRegistry, other: FakeRegistry, client: Registry, name: Name, blob: Descriptor
) -> None:
    fake.wrong.redirect_blobs = f"{other.url}/v2/x/blobs/{{digest}}?X-Amz-Signature=secret"
    with pytest.raises(Error) as caught:
        fetched(client, name("app:1"), blob)
    assert "secret" not in str(caught.value) + repr(caught.value.__cause__)


def test_a_connection_serves_the_next_request(
    fake: FakeRegistry, client: Registry, name: Name, blob: Descriptor
) -> None:
    accepted: list[object] = []
    original = fake._server.get_request
    fake._server.get_request = lambda: accepted.append(1) or original()  # type: ignore[assignment,func-returns-value]
    for _ in range(4):
        fetched(client, name("app:1"), blob)
    # One that found out whether the host speaks TLS, one for all requests.
    assert len(accepted) == 2


def test_stopping_early_leaves_the_client_usable(
    client: Registry, name: Name, blob: Descriptor
) -> None:
    pieces = blobs.fetch(client, name("app:1"), blob)
    next(pieces)
    pieces.close()
    assert fetched(client, name("app:1"), blob) == DATA


def test_an_abort_ends_what_another_thread_waits_for(
    fake: FakeRegistry, client: Registry, name: Name, blob: Descriptor
) -> None:
    fake.wrong.hold = threading.Event()
    begun = threading.Event()
    caught: list[BaseException] = []

    def run() -> None:
        try:
            for _ in blobs.fetch(client, name("app:1"), blob):
                begun.set()
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert begun.wait(5)
    client.abort()
    thread.join(5)
    fake.wrong.hold.set()
    assert [type(error) for error in caught] == [Aborted]
    with pytest.raises(Aborted):
        fetched(client, name("app:1"), blob)


def test_a_server_that_stalls_is_left(
    fake: FakeRegistry, connect: Connect, name: Name, blob: Descriptor
) -> None:
    fake.wrong.hold = threading.Event()
    quick = QUICK._replace(timeouts=QUICK.timeouts._replace(stall_s=0.1))
    try:
        with pytest.raises(Unavailable, match="no answer in time"):
            fetched(connect(config=quick), name("app:1"), blob)
    finally:
        fake.wrong.hold.set()


def test_many_threads_share_a_client(fake: FakeRegistry, client: Registry, name: Name) -> None:
    layers = [random.Random(n).randbytes(300_000 + n) for n in range(12)]
    found: dict[int, bytes] = {}

    def run(number: int) -> None:
        data = layers[number]
        blob = Descriptor(OCI_LAYER, Digest(fake.add_blob("app", data)), len(data))
        found[number] = fetched(client, name("app:1"), blob)

    fake.wrong.truncate_at, fake.wrong.truncate_times = 100_000, 5
    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(layers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == dict(enumerate(layers))
